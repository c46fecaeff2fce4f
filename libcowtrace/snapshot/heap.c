/* SPDX-License-Identifier: MIT */
/*
 * Heaps: making one, of new memory or of the caller's, and taking it apart.
 *
 * Not here: what happens to its pages (fault.c) and its snapshots (take.c).
 *
 * What holds always: destroying works on a heap that is built in part, and in a
 * forked child, where neither the tables nor the threads exist.
 */
#include <errno.h>
#include <string.h>

#include "snapshot/heap.h"
#include "snapshot/map.h"
#include "sys/pagemap.h"

int ct_snap_heap_check(const struct cowtrace_heap *h)
{
	if (!h)
		return -EINVAL;
	return atomic_load_explicit(h->alive_mark, memory_order_relaxed) ? 0 : -ECHILD;
}

void *cowtrace_heap_base(const struct cowtrace_heap *heap)
{
	return heap->base;
}

size_t cowtrace_heap_len(const struct cowtrace_heap *heap)
{
	return heap->len;
}

/* The options as this version knows them: what the caller does not have is 0. */
static int read_opts(const struct cowtrace_heap_opts *opts, struct cowtrace_heap_opts *ret)
{
	struct cowtrace_heap_opts o = { .sz = sizeof(o) };

	if (opts) {
		if (opts->sz < sizeof(size_t) || opts->sz > sizeof(o))
			return -EINVAL;
		memcpy(&o, opts, opts->sz);
	}
	if ((unsigned int)o.pages > COWTRACE_PAGES_HUGE ||
	    (unsigned int)o.serve > COWTRACE_SERVE_SIGNAL ||
	    (unsigned int)o.at_limit > COWTRACE_LIMIT_INVALIDATE ||
	    o.flags & ~(COWTRACE_HEAP_USER_FAULTS | COWTRACE_HEAP_DENSE_WRITES) ||
	    (o.saved_max && o.saved_max < CT_PAGE_SIZE))
		return -EINVAL;
	*ret = o;
	return 0;
}

/* A page that reads 1 here and 0 in every forked child. */
static int make_mark(struct cowtrace_heap *h)
{
	void *p = mmap(NULL, CT_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0);

	if (p == MAP_FAILED)
		return -ENOMEM;
	h->alive_mark = p;
	if (ct_sys3(SYS_madvise, p, CT_PAGE_SIZE, MADV_WIPEONFORK))
		return -ENOTSUP;
	atomic_store(h->alive_mark, 1);
	return 0;
}

static int make_tables(struct cowtrace_heap *h)
{
	size_t units_len = h->nr_units * sizeof(*h->units);
	size_t dirty_len = ct_page_up(ct_snap_bits_len(h->nr_pages));
	char *p;

	h->tables_len = dirty_len + ct_page_up(units_len);
	p = ct_snap_map_table(h->tables_len);
	if (!p)
		return -ENOMEM;
	h->tables = p;
	ct_snap_bits_init(&h->dirty, p, h->nr_pages);
	h->units = (struct ct_snap_unit *)(p + dirty_len);
	/* Nothing is protected yet, and nobody knows what has been touched. */
	ct_snap_bits_set(&h->dirty, 0, h->nr_pages);
	for (u64 u = 0; u < h->nr_units; u++)
		atomic_store_explicit(&h->units[u].fresh, 1, memory_order_relaxed);
	h->any_fresh = 1;
	return 0;
}

static int make_handles(struct cowtrace_heap *h)
{
	/* Not of a table's kind: a forked child asks a handle for its heap. */
	h->handles = calloc(CT_SNAP_NR_HANDLES, sizeof(*h->handles));
	if (!h->handles)
		return -ENOMEM;
	for (u32 i = 0; i < CT_SNAP_NR_HANDLES; i++) {
		h->handles[i].heap = h;
		h->handles[i].users = CT_SNAP_RELEASED;
		h->idle[i] = (u16)i;
	}
	h->nr_idle = CT_SNAP_NR_HANDLES;
	return 0;
}

static int start_serving(struct cowtrace_heap *h, const struct cowtrace_heap_opts *o)
{
	u64 need = UFFD_FEATURE_PAGEFAULT_FLAG_WP;
	bool in_thread = o->serve == COWTRACE_SERVE_THREAD;
	int err;

	err = ct_snap_uffd_open(in_thread ? need : need | UFFD_FEATURE_SIGBUS,
				UFFD_FEATURE_WP_UNPOPULATED,
				!in_thread || o->flags & COWTRACE_HEAP_USER_FAULTS, &h->uffd);
	if (err)
		return err;
	err = ct_snap_uffd_register(h->uffd.fd, h->base, h->len, UFFDIO_REGISTER_MODE_WP);
	if (err)
		return err == -EINVAL ? -ENOTSUP : err;
	return in_thread ? ct_snap_thread_start(h) : ct_snap_signal_start(h);
}

static int build(struct cowtrace_heap *h, const struct cowtrace_heap_opts *o)
{
	int err;

	h->nr_pages = h->len >> CT_PAGE_SHIFT;
	h->nr_units = (h->nr_pages + CT_HUGE_PAGES - 1) / CT_HUGE_PAGES;
	h->huge = o->pages == COWTRACE_PAGES_HUGE;
	h->dense = o->flags & COWTRACE_HEAP_DENSE_WRITES;
	h->serve = o->serve;
	h->at_limit = o->at_limit;
	h->stall_max_ns = o->stall_max_ns;
	/* Without one, or without its scan, every page is looked at: dearer. */
	if (h->huge)
		ct_pagemap_open(getpid(), &h->pagemap_fd);
	err = make_mark(h);
	if (!err)
		err = make_tables(h);
	if (!err)
		err = make_handles(h);
	if (!err)
		err = ct_snap_store_init(&h->store, h->nr_pages, o->saved_max >> CT_PAGE_SHIFT);
	return err ? err : start_serving(h, o);
}

static struct cowtrace_heap *heap_new(void)
{
	struct cowtrace_heap *h = calloc(1, sizeof(*h));

	if (h) {
		h->uffd.fd = -1;
		h->views.uffd.fd = -1;
		h->stop_fd = -1;
		h->views.stop_fd = -1;
		h->signal_slot = -1;
		h->pagemap_fd = -1;
	}
	return h;
}

/* Huge pages want an aligned range: map more, and give the ends back. */
static int map_heap(struct cowtrace_heap *h, bool huge)
{
	size_t slack = huge ? CT_HUGE_SIZE : 0, head;
	char *p = mmap(NULL, h->len + slack, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return -ENOMEM;
	head = huge ? -(uintptr_t)p & (CT_HUGE_SIZE - 1) : 0;
	if (head)
		munmap(p, head);
	if (slack > head)
		munmap(p + head + h->len, slack - head);
	h->base = p + head;
	h->owns_memory = true;
	/* A kernel without huge pages refuses both, and has small ones. */
	madvise(h->base, h->len, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	return 0;
}

static int create(size_t len, const struct cowtrace_heap_opts *opts, void *addr,
		  struct cowtrace_heap **ret_heap)
{
	struct cowtrace_heap_opts o;
	struct cowtrace_heap *h;
	size_t unit;
	int err = read_opts(opts, &o);

	if (err || !ret_heap)
		return err ? err : -EINVAL;
	if (sysconf(_SC_PAGESIZE) != (long)CT_PAGE_SIZE)
		return -ENOTSUP;
	unit = o.pages == COWTRACE_PAGES_HUGE && !addr ? CT_HUGE_SIZE : CT_PAGE_SIZE;
	if (!len || len > (SIZE_MAX >> 2) - unit)
		return -EINVAL;
	h = heap_new();
	if (!h)
		return -ENOMEM;
	h->len = (len + unit - 1) & ~(unit - 1);
	h->base = addr;
	err = addr ? 0 : map_heap(h, o.pages == COWTRACE_PAGES_HUGE);
	if (!err)
		err = build(h, &o);
	if (err) {
		cowtrace_heap_destroy(h);
		return err;
	}
	*ret_heap = h;
	return 0;
}

int cowtrace_heap_create(size_t len, const struct cowtrace_heap_opts *opts,
			 struct cowtrace_heap **ret_heap)
{
	int saved = errno;
	int err = create(len, opts, NULL, ret_heap);

	errno = saved;
	return err;
}

int cowtrace_heap_attach(void *addr, size_t len, const struct cowtrace_heap_opts *opts,
			 struct cowtrace_heap **ret_heap)
{
	int saved = errno;
	int err = ct_snap_attach_check(addr, len);

	if (!err)
		err = create(len, opts, addr, ret_heap);
	errno = saved;
	return err;
}

/* In the parent: nothing is left that could touch the heap. */
static void stop(struct cowtrace_heap *h)
{
	ct_snap_views_stop(h);
	for (u32 i = 0; h->handles && i < CT_SNAP_NR_HANDLES; i++)
		if (h->handles[i].slots) {
			ct_snap_handle_empty(&h->handles[i]);
			ct_snap_handle_free(&h->handles[i]);
		}
	ct_snap_spare_free(h);
	/* Writable again, and nobody waits: the memory may be the caller's. */
	if (h->uffd.fd >= 0)
		ct_snap_uffd_unregister(h->uffd.fd, h->base, h->len);
	ct_snap_thread_stop(h);
	ct_snap_signal_stop(h);
	ct_snap_store_fini(&h->store);
	ct_snap_unmap(h->tables, h->tables_len);
}

void cowtrace_heap_destroy(struct cowtrace_heap *heap)
{
	int saved = errno;

	if (!heap)
		return;
	if (!heap->alive_mark || atomic_load(heap->alive_mark))
		stop(heap);
	/* In a child too: its handler would look there. */
	ct_snap_signal_stop(heap);
	if (heap->uffd.fd >= 0)
		close(heap->uffd.fd);
	if (heap->views.uffd.fd >= 0)
		close(heap->views.uffd.fd);
	if (heap->stop_fd >= 0)
		close(heap->stop_fd);
	if (heap->pagemap_fd >= 0)
		close(heap->pagemap_fd);
	if (heap->views.stop_fd >= 0)
		close(heap->views.stop_fd);
	if (heap->owns_memory)
		munmap(heap->base, heap->len);
	if (heap->alive_mark)
		munmap((void *)heap->alive_mark, CT_PAGE_SIZE);
	free(heap->handles);
	free(heap);
	errno = saved;
}
