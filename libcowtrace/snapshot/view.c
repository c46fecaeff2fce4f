/* SPDX-License-Identifier: MIT */
/*
 * Views: a snapshot as a mapping, filled by a thread as it is touched.
 *
 * The thread is one for all views of a heap, with a userfaultfd of its own (missing
 * pages, where the heap's has protected ones), so that a reader never waits for a
 * writer's turn.
 *
 * What holds always: a page of a view has the snapshot's content or is not there;
 * one that cannot be had any more raises SIGBUS.
 */
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>

#include "snapshot/content.h"
#include "snapshot/map.h"

/* Pages filled at once where they are touched in order. */
#define MAX_FILL 16

struct filler {
	struct cowtrace_heap *h;
	u64 next; /* address that would continue the run */
	u32 run;
	char *buf; /* MAX_FILL pages */
};

/* As ct_snap_get(), but also where the snapshot was given up; false: it is ending. */
static bool join(struct cowtrace_snapshot *s)
{
	u32 v = atomic_load_explicit(&s->users, memory_order_relaxed);

	do {
		if (!(v & CT_SNAP_USERS))
			return false;
	} while (!atomic_compare_exchange_weak_explicit(&s->users, &v, v + 1, memory_order_acquire,
							memory_order_relaxed));
	return true;
}

/* The snapshot whose view has this address, a user of it begun; NULL: gone. */
static struct cowtrace_snapshot *find(struct cowtrace_heap *h, u64 addr)
{
	struct cowtrace_snapshot *found = NULL;

	ct_snap_lock(&h->views.lock);
	for (u32 i = 0; i < COWTRACE_MAX_SNAPSHOTS && !found; i++) {
		struct cowtrace_snapshot *s = h->views.of[i];

		if (s && addr - (uintptr_t)s->view < h->len)
			found = s;
	}
	if (found && !join(found))
		found = NULL;
	ct_snap_unlock(&h->views.lock);
	return found;
}

/* It can be had no more: touching it is an error from now on. */
static void refuse(struct cowtrace_heap *h, struct cowtrace_snapshot *s, char *addr)
{
	if (ct_snap_uffd_poison(h->views.uffd.fd, addr, CT_PAGE_SIZE))
		ct_sys3(SYS_mprotect, s->view, h->len, PROT_NONE);
	ct_snap_uffd_wake(h->views.uffd.fd, addr, CT_PAGE_SIZE);
}

/*
 * Ends the use of the snapshot before it wakes who waits: that one may release it next,
 * and is then the one that gives its pages back.
 */
static void fill(struct filler *f, struct cowtrace_snapshot *s, u64 addr)
{
	struct cowtrace_heap *h = f->h;
	u64 offset = addr - (uintptr_t)s->view;
	size_t len;
	int err;

	f->run = addr == f->next ? ct_min(f->run * 2, (u32)MAX_FILL) : 1;
	len = ct_min((size_t)f->run << CT_PAGE_SHIFT, h->len - offset);
	f->next = addr + len;
	err = ct_snap_read(s, offset, f->buf, len);
	if (err) {
		refuse(h, s, s->view + offset);
		ct_snap_put(s);
		return;
	}
	/* An error: one ahead was there already; the one that was asked for is in any case. */
	ct_snap_uffd_fill(h->views.uffd.fd, s->view + offset, f->buf, len);
	ct_snap_count(&h->count.view_pages, len >> CT_PAGE_SHIFT);
	ct_snap_put(s);
	ct_snap_uffd_wake(h->views.uffd.fd, (void *)addr, len);
}

static void serve(struct filler *f)
{
	struct uffd_msg msg;

	while (ct_sys3(SYS_read, f->h->views.uffd.fd, &msg, sizeof(msg)) == sizeof(msg)) {
		u64 addr = ct_page_down(msg.arg.pagefault.address);
		struct cowtrace_snapshot *s =
			msg.event == UFFD_EVENT_PAGEFAULT ? find(f->h, addr) : NULL;

		if (!s)
			continue;
		fill(f, s, addr);
	}
}

static void *run(void *arg)
{
	struct filler f = { .h = arg };
	struct pollfd fds[] = { { f.h->views.uffd.fd, POLLIN, 0 },
				{ f.h->views.stop_fd, POLLIN, 0 } };

	f.buf = ct_snap_map_table(MAX_FILL * CT_PAGE_SIZE);
	while (f.buf && !fds[1].revents) {
		serve(&f);
		poll(fds, 2, -1);
	}
	ct_snap_unmap(f.buf, MAX_FILL * CT_PAGE_SIZE);
	return NULL;
}

/* Under views.lock. */
static int start(struct cowtrace_heap *h)
{
	struct ct_snap_views *v = &h->views;
	int err;

	if (v->running)
		return 0;
	if (v->uffd.fd < 0) {
		err = ct_snap_uffd_open(0, UFFD_FEATURE_POISON, !h->uffd.kernel_faults, &v->uffd);
		if (err)
			return err;
	}
	if (v->stop_fd < 0)
		v->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (v->stop_fd < 0)
		return -errno;
	err = pthread_create(&v->thread, NULL, run, h);
	if (err)
		return -err;
	pthread_setname_np(v->thread, "cowtrace-view");
	v->running = true;
	return 0;
}

/* Under views.lock: as many views as snapshots alive, and those given up. */
static int add(struct cowtrace_snapshot *s)
{
	struct cowtrace_heap *h = s->heap;
	u32 i = 0;
	char *p;
	int err;

	while (i < COWTRACE_MAX_SNAPSHOTS && h->views.of[i])
		i++;
	if (i == COWTRACE_MAX_SNAPSHOTS)
		return -ENOMEM;
	p = ct_snap_map(h->len, PROT_READ);
	if (!p)
		return -ENOMEM;
	ct_sys3(SYS_madvise, p, h->len, MADV_NOHUGEPAGE);
	err = ct_snap_uffd_register(h->views.uffd.fd, p, h->len, UFFDIO_REGISTER_MODE_MISSING);
	if (err) {
		ct_snap_unmap(p, h->len);
		return err;
	}
	atomic_store(&s->view, p);
	h->views.of[i] = s;
	return 0;
}

int cowtrace_snapshot_view(struct cowtrace_snapshot *snap, const void **ret_base)
{
	struct cowtrace_heap *h;
	int saved = errno, err = ct_snap_get(snap);
	char *base;
	u64 sig;

	if (err)
		return err;
	h = snap->heap;
	sig = ct_snap_signals_block();
	ct_snap_lock(&h->views.lock);
	err = ret_base ? start(h) : -EINVAL;
	if (!err && !snap->view)
		err = add(snap);
	base = snap->view;
	ct_snap_unlock(&h->views.lock);
	ct_snap_signals_restore(sig);
	ct_snap_put(snap);
	errno = saved;
	if (!err)
		*ret_base = base;
	return err;
}

void ct_snap_view_end(struct cowtrace_snapshot *s)
{
	struct cowtrace_heap *h = s->heap;
	char *view = s->view;

	if (!view)
		return;
	ct_snap_lock(&h->views.lock);
	for (u32 i = 0; i < COWTRACE_MAX_SNAPSHOTS; i++)
		if (h->views.of[i] == s)
			h->views.of[i] = NULL;
	atomic_store(&s->view, NULL);
	ct_snap_unlock(&h->views.lock);
	ct_snap_unmap(view, h->len);
	/* Whoever was waiting there meets what follows a munmap. */
	ct_snap_uffd_wake(h->views.uffd.fd, view, h->len);
}

void ct_snap_views_stop(struct cowtrace_heap *h)
{
	if (!h->views.running)
		return;
	eventfd_write(h->views.stop_fd, 1);
	pthread_join(h->views.thread, NULL);
	h->views.running = false;
}
