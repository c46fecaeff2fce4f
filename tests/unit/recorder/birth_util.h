/* SPDX-License-Identifier: MIT */
/*
 * For tests with real births: this test is the parent, its children stand still,
 * and a recorder without threads reads them.
 */
#ifndef BIRTH_UTIL_H
#define BIRTH_UTIL_H

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "channel/ask.h"
#include "ctx_util.h"
#include "sys/pagemap.h"

#define PAGES 500

static struct ct_rec_ctx *c;
static struct ct_proc *p;
static pid_t child;
static char *memory;
__attribute__((unused)) static u32 nr_procs_before;

static inline int setup(void **state)
{
	c = ctx_open();
	ctx_open_for_births(c);
	p = proc_open(c, NULL);
	p->pid = getpid();
	atomic_store(&c->seg->slots[p->slot].pid, getpid());
	memory = mmap(NULL, PAGES * CT_PAGE_SIZE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	madvise(memory, PAGES * CT_PAGE_SIZE, MADV_NOHUGEPAGE);
	memset(memory, 1, PAGES * CT_PAGE_SIZE);
	nr_procs_before = c->nr_alive;
	return ct_pagemap_open(getpid(), &p->pagemap_fd);
}

static inline void end_child(void)
{
	if (child > 0) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	child = 0;
}

static inline int teardown(void **state)
{
	end_child();
	ctx_close(c);
	munmap(memory, PAGES * CT_PAGE_SIZE);
	return 0;
}

/* Forks a child that stands still, and posts its ask to be read. */
static inline u32 bear(void)
{
	int slot = ct_slot_claim(c->seg, CT_HOW_FORK, p->slot);
	struct ct_slot *s = &c->seg->slots[slot];

	atomic_fetch_add(&c->seg->slots[p->slot].forks_begun, 1);
	s->clone_ns = ct_now_ns();
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		/* It has the lock's descriptor too: it must not outlive a test that fails. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	s->born_ns = ct_now_ns();
	atomic_store(&s->pid, child);
	atomic_store(&s->state, CT_SLOT_LIVE);
	atomic_store(&s->ask, CT_ASK_BIRTH);
	return (u32)slot;
}

static inline void serve(u32 slot)
{
	assert_int_equal(ct_ask_take(c->seg, slot), CT_ASK_BIRTH);
	ct_birth_serve(c, slot);
}

static inline u64 first_page(void)
{
	return ct_page_of((u64)memory);
}

/* Whoever makes the kernel move pages holds this; the pages compared here must stay. */
static inline int hold_still(void **state)
{
	int fd = open("/tmp/cowtrace-sysfs.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0666);

	return fd < 0 || flock(fd, LOCK_EX);
}

#endif
