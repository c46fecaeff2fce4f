/* SPDX-License-Identifier: MIT */
/*
 * What EVENT_FORK brings: a userfaultfd of the child's memory, close-on-exec and
 * non-blocking, with the parent's features and ranges registered.  The child's pages
 * have the uffd-wp bit where the parent's had; from then on each has its own.  Its
 * faults are told by its own userfaultfd alone, with its own thread ids, and so is
 * its own child.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "subject.h"

#define NR 16
#define ARMED 8

enum { CHILD, GO, WRITTEN, GRANDCHILD };

static char *p;

static void child(void)
{
	pid_t pid;

	shared[CHILD] = (uint64_t)getpid();
	while (shared[GO] != 1)
		usleep(100);
	p[0] = 2;
	shared[WRITTEN] = 1;
	while (shared[GO] != 2)
		usleep(100);
	pid = fork();
	if (pid == 0) {
		shared[GRANDCHILD] = (uint64_t)getpid();
		pause();
	}
	while (shared[GO] != 3)
		usleep(100);
	kill(pid, SIGKILL);
	_exit(0);
}

static void step(int n)
{
	if (n == 0)
		lab_fill(p, NR, 1);
	else if (n == 1 && fork() == 0)
		child();
}

static bool half(int pagemap)
{
	return pages_protected(pagemap, p, ARMED) == ARMED &&
	       pages_protected(pagemap, p + ARMED * PAGE, NR - ARMED) == 0;
}

int main(void)
{
	int fd, grand, pagemap;
	struct uffd_msg msg;
	struct subject s;

	p = lab_map(NR);
	s = subject_serve(step);
	subject_step(&s, 0);
	check(uffd_register(s.uffd, p, NR) == 0 && uffd_protect(s.uffd, p, ARMED) == 0, "arm");
	subject_tell(&s, 1);
	fd = uffd_next_fork(s.uffd);
	check(subject_done(&s, 10000), "fork does not end");
	while (!shared[CHILD])
		usleep(100);
	pagemap = lab_pagemap((pid_t)shared[CHILD]);
	check(fcntl(fd, F_GETFD) == FD_CLOEXEC && (fcntl(fd, F_GETFL) & O_NONBLOCK), "flags");
	check(half(s.pagemap) && half(pagemap), "the bits are not inherited");
	check(uffd_api(fd, FEATURES) == -EINVAL, "it had no UFFDIO_API yet");
	/* Registered: it can be protected where the parent is not. */
	check(uffd_protect(fd, p + ARMED * PAGE, 1) == 0, "the child's range is not registered");
	check(page_protected(pagemap, p + ARMED * PAGE) &&
		      !page_protected(s.pagemap, p + ARMED * PAGE),
	      "the parent's page was protected with it");
	shared[GO] = 1;
	msg = uffd_next(fd);
	check(msg.event == UFFD_EVENT_PAGEFAULT && msg.arg.pagefault.address == (uintptr_t)p &&
		      msg.arg.pagefault.feat.ptid == shared[CHILD],
	      "event %#x thread %u", msg.event, msg.arg.pagefault.feat.ptid);
	check(!uffd_readable(s.uffd, 0), "the parent's userfaultfd tells of it too");
	check(uffd_lift(fd, p, 1, true) == 0, "lift");
	shared_wait(WRITTEN, 1);
	check(page_protected(s.pagemap, p) && !page_protected(pagemap, p), "the bits are one");
	shared[GO] = 2;
	grand = uffd_next_fork(fd);
	check(!uffd_readable(s.uffd, 0), "the grandparent is told too");
	while (!shared[GRANDCHILD])
		usleep(100);
	check(uffd_protect(grand, p + ARMED * PAGE, 1) == 0, "the grandchild's userfaultfd");
	shared[GO] = 3;
	close(grand);
	close(fd);
	close(pagemap);
	subject_end(&s);
	return lab_result();
}
