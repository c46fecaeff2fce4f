/* SPDX-License-Identifier: MIT */
/* For the recorder's tests: a recorder without threads, and processes made by hand. */
#ifndef CTX_UTIL_H
#define CTX_UTIL_H

#include <sys/mman.h>
#include <sys/socket.h>

#include "base/futex.h"
#include "channel/slot.h"
#include "recorder/io.h"
#include "recorder/recorder.h"
#include "recorder/state.h"
#include "recorder_util.h"

static inline struct ct_rec_ctx *ctx_open(void)
{
	struct ct_rec_ctx *c = calloc(1, sizeof(*c));
	int fd = memfd_create(CT_SEG_MEMFD_NAME, MFD_CLOEXEC);

	assert_int_equal(ftruncate(fd, sizeof(*c->seg)), 0);
	c->seg = mmap(NULL, sizeof(*c->seg), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(c->seg, MAP_FAILED);
	close(fd);
	assert_int_equal(ct_segment_init(c->seg, sizeof(*c->seg), 100 * CT_NSEC_PER_MSEC), 0);
	c->start_ns = c->seg->start_ns;
	c->hold_ns = c->seg->hold_ns;
	c->vmstat_fd = -1;
	c->kpage.flags_fd = c->kpage.count_fd = -1;
	c->out = outbox_open();
	c->modules = ct_modules_create(c->out);
	c->sites = ct_sites_create(c->out, c->modules);
	c->names = ct_names_create();
	return c;
}

/* What is needed to make processes, and to read them. */
static inline void ctx_open_for_births(struct ct_rec_ctx *c)
{
	static const char token[CT_TOKEN_LEN + 1] = "0123456789abcdef0123456789abcdef";
	int control[2];

	/* Nobody connects, nobody says anything: any two sockets do. */
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control), 0);
	assert_int_equal(ct_io_create(c->seg, control[0], control[1], token, &c->io), 0);
	ct_kcaps_probe(&c->caps);
	ct_kpage_open(&c->kpage);
}

/* A process without memory of its own to read, in the next free slot. */
static inline struct ct_proc *proc_open(struct ct_rec_ctx *c, struct ct_proc *relative)
{
	struct ct_proc *p = calloc(1, sizeof(*p));

	p->pidfd = p->pagemap_fd = p->statm_fd = -1;
	p->wstatus = -1;
	p->id = ++c->next_process;
	p->slot = (u32)ct_slot_claim(c->seg, CT_HOW_HELLO, CT_SEG_SLOTS);
	p->tags = ct_tagmap_create();
	p->family = relative ? relative->family : calloc(1, sizeof(*p->family));
	p->family->refs++;
	p->family->alive++;
	p->next = c->procs;
	c->procs = p;
	c->by_slot[p->slot] = p;
	c->nr_alive++;
	return p;
}

static inline struct ct_image *image_of_pages(const u64 *pfns, u64 first, u64 nr)
{
	struct ct_image_builder b;
	struct ct_image *img;
	u64 i;

	assert_int_equal(ct_image_begin(&b, NULL), 0);
	for (i = 0; i < nr; i++)
		if (pfns[i])
			ct_image_add(&b, first + i, ct_ent_page(pfns[i]), false);
	assert_int_equal(ct_image_finish(&b, &img), 0);
	return img;
}

/* A fork of these pages between the two times; takes the image's reference. */
static inline struct ct_fork *fork_open(struct ct_rec_ctx *c, struct ct_image *orig, u64 clone_ns,
					u64 born_ns)
{
	struct ct_fork *f = calloc(1, sizeof(*f));

	f->refs = 1;
	f->id = ++c->next_fork;
	f->clone_ns = clone_ns;
	f->born_ns = born_ns;
	f->orig = orig;
	f->regions = calloc(1, sizeof(*f->regions));
	f->regions->refs = 1;
	return f;
}

static inline struct ct_share *share_open(struct ct_fork *f, enum ct_side side, struct ct_proc *p)
{
	struct ct_share *s = calloc(1, sizeof(*s));

	assert_int_equal(ct_extents_init(&s->extents), 0);
	s->fork = f;
	s->side = side;
	s->next = p->shares;
	p->shares = s;
	f->proc[side] = p;
	f->refs++;
	return s;
}

static inline void proc_close(struct ct_rec_ctx *c, struct ct_proc *p)
{
	ct_proc_end(c, p, CT_ENDED_RUNNING, ct_now_ns());
}

static inline void ctx_close(struct ct_rec_ctx *c)
{
	while (c->procs)
		proc_close(c, c->procs);
	ct_io_destroy(c->io);
	ct_kpage_close(&c->kpage);
	ct_reader_fini(&c->reader);
	ct_modules_destroy(c->modules);
	ct_sites_destroy(c->sites);
	ct_names_destroy(c->names);
	outbox_close(c->out);
	munmap(c->seg, sizeof(*c->seg));
	ct_maps_fini(&c->maps);
	ct_maps_fini(&c->code_maps);
	free(c->tallies);
	free(c->counts);
	free(c->expected);
	free(c);
}

#endif
