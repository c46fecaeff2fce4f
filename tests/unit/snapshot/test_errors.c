/* SPDX-License-Identifier: MIT */
/*
 * Every error of the header, made to happen, and that it has a sentence; nothing is
 * written to outputs then, and the heap goes on working.
 */
#include "snap_util.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/userfaultfd.h>

static const struct way *const plain = &snap_ways[0];

static void *map(size_t len, int prot, int flags, int fd)
{
	void *p = mmap(NULL, len, prot, flags, fd, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

static int try_create(size_t len, struct cowtrace_heap_opts o)
{
	struct cowtrace_heap *h = (void *)1;
	int err;

	if (!o.sz)
		o.sz = sizeof(o);
	err = cowtrace_heap_create(len, &o, &h);
	if (err)
		assert_ptr_equal(h, (void *)1);
	else
		cowtrace_heap_destroy(h);
	return err;
}

#define opts(...) ((struct cowtrace_heap_opts){ __VA_ARGS__ })

static void test_create(void **state)
{
	struct cowtrace_heap *h;

	assert_int_equal(cowtrace_heap_create(PAGE, NULL, NULL), -EINVAL);
	assert_int_equal(try_create(0, opts(0)), -EINVAL);
	assert_int_equal(try_create(SIZE_MAX, opts(0)), -EINVAL);
	assert_int_equal(try_create(1ul << 60, opts(0)), -ENOMEM);
	assert_int_equal(try_create(PAGE, opts(.sz = 4)), -EINVAL);
	assert_int_equal(try_create(PAGE, opts(.sz = 4096)), -EINVAL);
	assert_int_equal(try_create(PAGE, opts(.pages = 7)), -EINVAL);
	assert_int_equal(try_create(PAGE, opts(.serve = 7)), -EINVAL);
	assert_int_equal(try_create(PAGE, opts(.at_limit = 7)), -EINVAL);
	assert_int_equal(try_create(PAGE, opts(.flags = 8)), -EINVAL);
	assert_int_equal(try_create(PAGE, opts(.saved_max = 100)), -EINVAL);
	/* An older program's options are shorter. */
	assert_int_equal(try_create(PAGE, opts(.sz = sizeof(size_t), .pages = 7)), 0);
	ok(cowtrace_heap_create(1, NULL, &h));
	assert_int_equal(cowtrace_heap_len(h), PAGE);
	assert_true((uintptr_t)cowtrace_heap_base(h) % PAGE == 0);
	cowtrace_heap_destroy(h);
	cowtrace_heap_destroy(NULL);
	cowtrace_snapshot_release(NULL);
}

static int try_attach(void *p, size_t len)
{
	struct cowtrace_heap *h;
	int err = cowtrace_heap_attach(p, len, NULL, &h);

	if (!err)
		cowtrace_heap_destroy(h);
	return err;
}

static void test_attach(void **state)
{
	int rw = PROT_READ | PROT_WRITE, anon = MAP_PRIVATE | MAP_ANONYMOUS;
	char *p = map(8 * PAGE, rw, anon, -1), *q;
	int fd = memfd_create("file", 0);
	struct cowtrace_heap *h;

	assert_int_equal(try_attach(p, 8 * PAGE), 0);
	assert_int_equal(try_attach(p + 1, PAGE), -EINVAL);
	assert_int_equal(try_attach(p, PAGE + 1), -EINVAL);
	assert_int_equal(try_attach(p, 0), -EINVAL);
	assert_int_equal(try_attach(p, -PAGE), -EINVAL);
	assert_int_equal(cowtrace_heap_attach(p, PAGE, NULL, NULL), -EINVAL);
	/* A hole, and what may not be written. */
	munmap(p + 4 * PAGE, PAGE);
	assert_int_equal(try_attach(p, 8 * PAGE), -EFAULT);
	assert_int_equal(try_attach(p + 4 * PAGE, PAGE), -EFAULT);
	mprotect(p + 2 * PAGE, PAGE, PROT_READ);
	assert_int_equal(try_attach(p, 4 * PAGE), -EACCES);
	/* Others' memory. */
	assert_int_equal(ftruncate(fd, 4 * MIB), 0);
	q = map(PAGE, rw, MAP_SHARED | MAP_ANONYMOUS, -1);
	assert_int_equal(try_attach(q, PAGE), -ENOTSUP);
	munmap(q, PAGE);
	q = map(PAGE, rw, MAP_SHARED, fd);
	assert_int_equal(try_attach(q, PAGE), -ENOTSUP);
	munmap(q, PAGE);
	q = map(PAGE, rw, MAP_PRIVATE, fd);
	assert_int_equal(try_attach(q, PAGE), -ENOTSUP);
	munmap(q, PAGE);
	q = mmap(NULL, 2 * MIB, rw, anon | MAP_HUGETLB | MAP_NORESERVE, -1, 0);
	if (q != MAP_FAILED) {
		assert_int_equal(try_attach(q, 2 * MIB), -ENOTSUP);
		munmap(q, 2 * MIB);
	}
	/* Two heaps cannot share a page. */
	ok(cowtrace_heap_attach(p, 2 * PAGE, NULL, &h));
	assert_int_equal(try_attach(p + PAGE, PAGE), -EBUSY);
	cowtrace_heap_destroy(h);
	assert_int_equal(try_attach(p + PAGE, PAGE), 0);
	munmap(p, 8 * PAGE);
	close(fd);
}

/* Destroying leaves attached memory as it is, also what was protected. */
static void test_attach_leaves(void **state)
{
	char *p = map(600 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	struct cowtrace_heap *h;
	struct cowtrace_snapshot *s;
	char got;

	memset(p, 1, 600 * PAGE);
	ok(cowtrace_heap_attach(p, 600 * PAGE, NULL, &h));
	s = snap_take(h);
	p[7 * PAGE] = 2;
	ok(cowtrace_snapshot_read(s, 7 * PAGE, &got, 1));
	assert_int_equal(got, 1);
	cowtrace_heap_destroy(h);
	assert_int_equal(p[7 * PAGE], 2);
	assert_int_equal(p[8 * PAGE], 1);
	memset(p, 3, 600 * PAGE);
	munmap(p, 600 * PAGE);
}

static void test_ranges(void **state)
{
	struct cowtrace_heap *h = snap_heap(plain, 10 * PAGE), *other = snap_heap(plain, PAGE);
	struct cowtrace_snapshot *s = snap_take(h), *s2 = snap_take(h), *s3 = snap_take(other);
	struct cowtrace_heap_stats st = { .sz = 3 };
	struct cowtrace_write_opts wo = { .sz = 3 };
	struct cowtrace_run run;
	char *base = cowtrace_heap_base(h), buf[16];
	size_t nr, next;

	assert_int_equal(cowtrace_snapshot_len(s), 10 * PAGE);
	assert_int_equal(cowtrace_snapshot_read(s, 10 * PAGE, buf, 1), -EINVAL);
	assert_int_equal(cowtrace_snapshot_read(s, 10 * PAGE, buf, 0), 0);
	assert_int_equal(cowtrace_snapshot_read(s, 10 * PAGE - 1, buf, 2), -EINVAL);
	assert_int_equal(cowtrace_snapshot_read(s, 1, buf, SIZE_MAX), -EINVAL);
	assert_int_equal(cowtrace_snapshot_read(s, 0, NULL, 1), -EINVAL);
	assert_int_equal(cowtrace_snapshot_read(NULL, 0, buf, 1), -EINVAL);
	assert_int_equal(cowtrace_snapshot_take(h, NULL), -EINVAL);
	assert_int_equal(cowtrace_snapshot_take(NULL, &s), -EINVAL);
	assert_int_equal(cowtrace_snapshot_view(s, NULL), -EINVAL);
	assert_int_equal(cowtrace_snapshot_crc(s, NULL), -EINVAL);
	assert_int_equal(cowtrace_snapshot_write_fd(s, -1, NULL), -EBADF);
	assert_int_equal(cowtrace_snapshot_write_fd(s, 1, &wo), -EINVAL);
	assert_int_equal(cowtrace_heap_prepare(h, base - 1, 2), -EINVAL);
	assert_int_equal(cowtrace_heap_prepare(h, base, 10 * PAGE + 1), -EINVAL);
	assert_int_equal(cowtrace_heap_prepare(h, base, SIZE_MAX), -EINVAL);
	assert_int_equal(cowtrace_heap_prepare(h, base + 10 * PAGE, 0), 0);
	assert_int_equal(cowtrace_heap_discard(h, base + 1, PAGE), -EINVAL);
	assert_int_equal(cowtrace_heap_discard(h, base, PAGE + 1), -EINVAL);
	assert_int_equal(cowtrace_heap_discard(h, base, 11 * PAGE), -EINVAL);
	assert_int_equal(cowtrace_heap_stats(h, &st), -EINVAL);
	assert_int_equal(cowtrace_heap_stats(h, NULL), -EINVAL);
	assert_int_equal(cowtrace_snapshot_diff(s2, s, 0, &run, 1, &nr, &next), -EINVAL);
	assert_int_equal(cowtrace_snapshot_diff(s, s3, 0, &run, 1, &nr, &next), -EINVAL);
	assert_int_equal(cowtrace_snapshot_diff(s, s2, 1, &run, 1, &nr, &next), -EINVAL);
	assert_int_equal(cowtrace_snapshot_diff(s, s2, 11 * PAGE, &run, 1, &nr, &next), -EINVAL);
	assert_int_equal(cowtrace_snapshot_diff(s, s2, 0, &run, 0, &nr, &next), -EINVAL);
	ok(cowtrace_snapshot_diff(s, s2, 10 * PAGE, &run, 1, &nr, &next));
	assert_int_equal(nr, 0);
	cowtrace_heap_destroy(h);
	cowtrace_heap_destroy(other);
}

static void test_after_release(void **state)
{
	struct cowtrace_heap *h = snap_heap(plain, 4 * PAGE);
	struct cowtrace_snapshot *s = snap_take(h), *t;
	struct cowtrace_run run;
	const void *view;
	size_t nr, next;
	uint32_t crc;
	char c;

	cowtrace_snapshot_release(s);
	cowtrace_snapshot_release(s);
	for (unsigned int i = 0; i < 1000; i++) {
		t = snap_take(h);
		assert_ptr_not_equal(t, s);
		cowtrace_snapshot_release(t);
	}
	assert_int_equal(cowtrace_snapshot_read(s, 0, &c, 1), -EBADF);
	assert_int_equal(cowtrace_snapshot_view(s, &view), -EBADF);
	assert_int_equal(cowtrace_snapshot_write_fd(s, 1, NULL), -EBADF);
	assert_int_equal(cowtrace_snapshot_crc(s, &crc), -EBADF);
	assert_int_equal(cowtrace_snapshot_diff(s, NULL, 0, &run, 1, &nr, &next), -EBADF);
	cowtrace_heap_destroy(h);
}

static void test_too_many(void **state)
{
	struct cowtrace_heap *h = snap_heap(plain, 2 * PAGE);
	struct cowtrace_snapshot *s[COWTRACE_MAX_SNAPSHOTS], *more = (void *)1;
	char *p = cowtrace_heap_base(h), c;

	for (int i = 0; i < COWTRACE_MAX_SNAPSHOTS; i++) {
		*p = (char)i;
		s[i] = snap_take(h);
	}
	assert_int_equal(cowtrace_snapshot_take(h, &more), -EMFILE);
	assert_ptr_equal(more, (void *)1);
	for (int i = 0; i < COWTRACE_MAX_SNAPSHOTS; i++) {
		ok(cowtrace_snapshot_read(s[i], 0, &c, 1));
		assert_int_equal(c, i);
	}
	cowtrace_snapshot_release(s[40]);
	s[40] = snap_take(h);
	cowtrace_heap_destroy(h);
}

/* Unmapping a heap's memory is a mistake, and is answered by errors. */
static void test_unmapped(void **state)
{
	const struct way *way = *state;
	struct cowtrace_heap *h = snap_heap(way, 16 * MIB);
	char *p = cowtrace_heap_base(h), *buf = malloc(MIB);
	int fd = memfd_create("out", 0);
	struct cowtrace_snapshot *s, *t;

	memset(p, 1, 16 * MIB);
	s = snap_take(h);
	p[4 * MIB + PAGE] = 2;
	munmap(p + 4 * MIB, MIB);
	assert_int_equal(cowtrace_snapshot_read(s, 4 * MIB, buf, MIB), -EFAULT);
	ok(cowtrace_snapshot_read(s, 3 * MIB, buf, MIB));
	assert_int_equal(cowtrace_snapshot_write_fd(s, fd, NULL), -EFAULT);
	assert_int_equal(cowtrace_heap_discard(h, p + 4 * MIB, MIB), -EFAULT);
	assert_int_equal(cowtrace_snapshot_take(h, &t), -EFAULT);
	/* The rest goes on. */
	p[0] = 2;
	ok(cowtrace_snapshot_read(s, 0, buf, 1));
	assert_int_equal(buf[0], 1);
	cowtrace_heap_destroy(h);
	close(fd);
	free(buf);
}

static struct cowtrace_heap *handler_heap;
static struct cowtrace_snapshot *volatile handler_snap;
static volatile int handler_err;

static void on_usr1(int sig)
{
	struct cowtrace_snapshot *s = NULL;

	handler_err = cowtrace_snapshot_take(handler_heap, &s);
	handler_snap = s;
}

/* A take in a signal handler, at any instant of writes, takes and releases. */
static void test_in_handler(void **state)
{
	const struct way *way = *state;
	struct sigaction sa = { .sa_handler = on_usr1 };
	char *p;

	handler_heap = snap_heap(way, 64 * PAGE);
	p = cowtrace_heap_base(handler_heap);
	sigaction(SIGUSR1, &sa, NULL);
	for (unsigned int i = 1; i < 60; i++) {
		struct cowtrace_snapshot *mine;
		char c = 0;

		memset(p, (int)i, 64 * PAGE);
		handler_err = 1;
		raise(SIGUSR1);
		ok(handler_err);
		mine = snap_take(handler_heap);
		memset(p, 0, 64 * PAGE);
		ok(cowtrace_snapshot_read(handler_snap, 5 * PAGE, &c, 1));
		assert_int_equal(c, i);
		cowtrace_snapshot_release(handler_snap);
		cowtrace_snapshot_release(mine);
	}
	signal(SIGUSR1, SIG_DFL);
	cowtrace_heap_destroy(handler_heap);
}

static void test_signal_heaps(void **state)
{
	struct cowtrace_heap_opts o = { .sz = sizeof(o), .serve = COWTRACE_SERVE_SIGNAL };
	struct cowtrace_heap *h[65];
	struct cowtrace_snapshot *s;
	struct sigaction before, after;
	char c;

	sigaction(SIGBUS, NULL, &before);
	for (int i = 0; i < 64; i++)
		ok(cowtrace_heap_create(3 * PAGE, &o, &h[i]));
	assert_int_equal(cowtrace_heap_create(PAGE, &o, &h[64]), -EBUSY);
	for (int i = 0; i < 64; i++) {
		s = snap_take(h[i]);
		*(char *)cowtrace_heap_base(h[i]) = 1;
		ok(cowtrace_snapshot_read(s, 0, &c, 1));
		assert_int_equal(c, 0);
	}
	for (int i = 0; i < 64; i++)
		cowtrace_heap_destroy(h[i]);
	sigaction(SIGBUS, NULL, &after);
	assert_ptr_equal(before.sa_handler, after.sa_handler);
}

static sigjmp_buf jump;

static void on_bus(int sig)
{
	siglongjmp(jump, 1);
}

/* A SIGBUS of another cause goes to the handler that was there before. */
static void test_foreign_sigbus(void **state)
{
	struct cowtrace_heap_opts o = { .sz = sizeof(o), .serve = COWTRACE_SERVE_SIGNAL };
	struct sigaction sa = { .sa_handler = on_bus };
	int fd = memfd_create("short", 0);
	volatile char *p;
	struct cowtrace_heap *h;
	bool jumped = true;

	sigaction(SIGBUS, &sa, NULL);
	ok(cowtrace_heap_create(PAGE, &o, &h));
	p = map(PAGE, PROT_READ, MAP_SHARED, fd);
	if (!sigsetjmp(jump, 1)) {
		(void)*p;
		jumped = false;
	}
	assert_true(jumped);
	cowtrace_heap_destroy(h);
	signal(SIGBUS, SIG_DFL);
	munmap((void *)p, PAGE);
	close(fd);
}

static void test_sentences(void **state)
{
	static const int all[] = { 0,	   EINVAL, ENOTSUP, EPERM,  ENOMEM, EMFILE, ENFILE,
				   EAGAIN, EBUSY,  EFAULT,  EACCES, ESTALE, EBADF,  ECHILD };
	const char *other = cowtrace_strerror(EXDEV);

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		const char *text = cowtrace_strerror(-all[i]);

		assert_ptr_equal(text, cowtrace_strerror(all[i]));
		assert_true(strlen(text) > 8 && text[strlen(text) - 1] != '.');
		assert_string_not_equal(text, other);
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(text, cowtrace_strerror(all[k]));
	}
}

int main(void)
{
	struct CMUnitTest tests[64] = {
		cmocka_unit_test(test_create),	      cmocka_unit_test(test_attach),
		cmocka_unit_test(test_attach_leaves), cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_after_release), cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_signal_heaps),  cmocka_unit_test(test_foreign_sigbus),
		cmocka_unit_test(test_sentences),
	};
	size_t nr = 9;

	for (size_t i = 0; i < NR_WAYS; i++) {
		tests[nr++] = (struct CMUnitTest){ "unmapped", test_unmapped, NULL, NULL,
						   (void *)&snap_ways[i] };
		tests[nr++] = (struct CMUnitTest){ "in a handler", test_in_handler, NULL, NULL,
						   (void *)&snap_ways[i] };
	}
	return _cmocka_run_group_tests("snapshot errors", tests, nr, NULL, NULL);
}
