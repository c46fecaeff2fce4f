/* SPDX-License-Identifier: MIT */
/*
 * sys/maps: good and malformed text, short reads, processes that go away, speed.
 * pread is wrapped, so that a test decides how much a read gives.
 */
#include "unit.h"

#include <sys/mman.h>

#include "base/futex.h"
#include "sys/maps.h"

/* 0: the kernel decides. */
static size_t read_at_most;
static int interrupts; /* so many reads fail with EINTR first */
static int fail_with;

ssize_t __real_pread64(int fd, void *buf, size_t len, off_t off);
ssize_t __wrap_pread64(int fd, void *buf, size_t len, off_t off);

ssize_t __wrap_pread64(int fd, void *buf, size_t len, off_t off)
{
	if (interrupts > 0) {
		interrupts--;
		errno = EINTR;
		return -1;
	}
	if (fail_with && off > 0) {
		errno = fail_with;
		return -1;
	}
	return __real_pread64(fd, buf, read_at_most && len > read_at_most ? read_at_most : len,
			      off);
}

static struct ct_maps maps_of(const char *text)
{
	struct ct_maps m = { .text = strdup(text), .text_len = strlen(text) };

	m.text_cap = m.text_len + 1;
	return m;
}

static void parses_every_field(void **state)
{
	struct ct_maps m = maps_of(
		"55d0c6a00000-55d0c6a02000 r-xp 00003000 fe:1f 1234567                  /usr/bin/a "
		"b (deleted)\n"
		"55d0c6a02000-55d0c6a03000 rw-s 00000000 00:01 4096                     /dev/zero "
		"(deleted)\n"
		"55d0c6b00000-55d0c6b21000 rw-p 00000000 00:00 0                        [heap]\n"
		"7f0000000000-7f0000001000 ---p 00000000 00:00 0 \n"
		"7f0000001000-7f0000002000 rw-p 00000000 00:00 0                        [anon:my "
		"arena]\n"
		"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                "
		"[vsyscall]\n");

	assert_int_equal(ct_maps_parse(&m), 0);
	assert_int_equal(m.nr, 6);
	assert_int_equal(m.vmas[0].start, 0x55d0c6a00000);
	assert_int_equal(m.vmas[0].end, 0x55d0c6a02000);
	assert_true(m.vmas[0].r && !m.vmas[0].w && m.vmas[0].x && !m.vmas[0].shared);
	assert_int_equal(m.vmas[0].offset, 0x3000);
	assert_int_equal(m.vmas[0].dev_major, 0xfe);
	assert_int_equal(m.vmas[0].dev_minor, 0x1f);
	assert_int_equal(m.vmas[0].ino, 1234567);
	assert_string_equal(m.vmas[0].name, "/usr/bin/a b (deleted)");
	assert_true(m.vmas[1].shared && m.vmas[1].w);
	assert_string_equal(m.vmas[2].name, "[heap]");
	assert_string_equal(m.vmas[3].name, "");
	assert_false(m.vmas[3].r || m.vmas[3].w || m.vmas[3].x);
	assert_string_equal(m.vmas[4].name, "[anon:my arena]");
	assert_int_equal(m.vmas[5].start, 0xffffffffff600000);
	/* The text is left as it was: a second parse says the same. */
	assert_int_equal(ct_maps_parse(&m), 0);
	assert_int_equal(m.nr, 6);
	assert_string_equal(m.vmas[0].name, "/usr/bin/a b (deleted)");
	ct_maps_fini(&m);
}

static void finds_by_address(void **state)
{
	struct ct_maps m = maps_of("1000-3000 r--p 0 0:0 0 \n"
				   "3000-4000 rw-p 0 0:0 0 \n"
				   "9000-a000 rw-p 0 0:0 0 [x]\n");

	assert_null(ct_maps_find(&m, 0x1000));
	assert_int_equal(ct_maps_parse(&m), 0);
	assert_null(ct_maps_find(&m, 0xfff));
	assert_ptr_equal(ct_maps_find(&m, 0x1000), &m.vmas[0]);
	assert_ptr_equal(ct_maps_find(&m, 0x2fff), &m.vmas[0]);
	assert_ptr_equal(ct_maps_find(&m, 0x3000), &m.vmas[1]);
	assert_null(ct_maps_find(&m, 0x4000));
	assert_null(ct_maps_find(&m, 0x8fff));
	assert_ptr_equal(ct_maps_find(&m, 0x9fff), &m.vmas[2]);
	assert_null(ct_maps_find(&m, 0xa000));
	assert_null(ct_maps_find(&m, UINT64_MAX));
	ct_maps_fini(&m);
}

static void refuses_what_is_no_maps_file(void **state)
{
	static const char *const bad[] = {
		"\n",
		"x\n",
		"1000-2000 r--p 0 0:0 0 /no/newline",
		"1000-2000\n",
		"1000 2000 r--p 0 0:0 0 \n",
		"2000-1000 r--p 0 0:0 0 \n",
		"1000-1000 r--p 0 0:0 0 \n",
		"1001-2000 r--p 0 0:0 0 \n",
		"1000-2001 r--p 0 0:0 0 \n",
		"-2000 r--p 0 0:0 0 \n",
		"1000- r--p 0 0:0 0 \n",
		"11112222333344445-2000 r--p 0 0:0 0 \n",
		"1000-2000 r-p 0 0:0 0 \n",
		"1000-2000 rxwp 0 0:0 0 \n",
		"1000-2000 r--q 0 0:0 0 \n",
		"1000-2000 r--pp 0 0:0 0 \n",
		"1000-2000 r--p\n",
		"1000-2000 r--p g 0:0 0 \n",
		"1000-2000 r--p 0 00 0 \n",
		"1000-2000 r--p 0 0:0 \n",
		"1000-2000 r--p 0 0:0 99999999999999999999 \n",
		"1000-2000 r--p 0 0:0 1f /x\n",
		/* Not in order. */
		"3000-4000 r--p 0 0:0 0 \n1000-2000 r--p 0 0:0 0 \n",
		"1000-4000 r--p 0 0:0 0 \n2000-3000 r--p 0 0:0 0 \n",
	};

	for (size_t i = 0; i < ct_array_size(bad); i++) {
		struct ct_maps m = maps_of(bad[i]);
		int r = ct_maps_parse(&m);

		if (r != -EINVAL)
			print_message("taken for a maps file: %s", bad[i]);
		assert_int_equal(r, -EINVAL);
		assert_int_equal(m.nr, 0);
		ct_maps_fini(&m);
	}
}

/* Every prefix of a good file that ends inside a line is refused; none is read past its end. */
static void refuses_torn_text(void **state)
{
	static const char good[] =
		"55d0c6a00000-55d0c6a02000 r-xp 00003000 fe:1f 12                  /usr/bin/a\n"
		"7f0000000000-7f0000001000 rw-p 00000000 00:00 0 \n";

	for (size_t len = 0; len < sizeof(good) - 1; len++) {
		struct ct_maps m = { .text = malloc(len ? len : 1), .text_len = len };
		bool whole = len == 0 || good[len - 1] == '\n';

		memcpy(m.text, good, len);
		assert_int_equal(ct_maps_parse(&m), whole ? 0 : -EINVAL);
		ct_maps_fini(&m);
	}
}

/* A VMA that grew downwards between two reads: what was not listed yet is listed. */
static void clips_what_grew(void **state)
{
	struct ct_maps m = maps_of("1000-3000 r--p 0 0:0 0 \n"
				   "2000-5000 r--p 10000 8:1 7 /f\n");

	assert_int_equal(ct_maps_parse(&m), 0);
	assert_int_equal(m.nr, 2);
	assert_int_equal(m.vmas[1].start, 0x3000);
	assert_int_equal(m.vmas[1].end, 0x5000);
	assert_int_equal(m.vmas[1].offset, 0x11000);
	ct_maps_fini(&m);
}

struct textcopy {
	char text[1 << 16];
	size_t len;
};

static void text_of_self(struct textcopy *ret)
{
	struct ct_maps m = { 0 };

	assert_int_equal(ct_maps_read(getpid(), &m), 0);
	assert_true(m.text_len < sizeof(ret->text));
	memcpy(ret->text, m.text, m.text_len);
	ret->len = m.text_len;
	ct_maps_fini(&m);
}

static void short_reads_give_the_same(void **state)
{
	static struct textcopy whole, pieces;
	static const size_t sizes[] = { 1, 7, 80, 4096 };

	text_of_self(&whole);
	for (size_t i = 0; i < ct_array_size(sizes); i++) {
		read_at_most = sizes[i];
		interrupts = 3;
		text_of_self(&pieces);
		read_at_most = 0;
		/* The heap may have grown meanwhile; the first line is the program's. */
		assert_memory_equal(whole.text, pieces.text, 73);
		assert_int_equal(pieces.text[pieces.len - 1], '\n');
	}
}

static void a_failing_read_is_told(void **state)
{
	struct ct_maps m = { 0 };

	read_at_most = 100;
	fail_with = EIO;
	assert_int_equal(ct_maps_load(getpid(), &m), -EIO);
	assert_int_equal(m.text_len, 0);
	fail_with = 0;
	read_at_most = 0;
	assert_int_equal(ct_maps_load(getpid(), &m), 0);
	assert_true(m.nr > 5);
	ct_maps_fini(&m);
}

static void processes_that_go(void **state)
{
	struct ct_maps m = { 0 };
	pid_t pid = unit_child();

	assert_int_equal(ct_maps_load(pid, &m), 0);
	assert_true(m.nr > 5);
	unit_make_zombie(pid);
	assert_int_equal(ct_maps_load(pid, &m), 0);
	assert_int_equal(m.text_len, 0);
	assert_int_equal(m.nr, 0);
	unit_reap(pid);
	assert_int_equal(ct_maps_load(pid, &m), -ESRCH);
	assert_int_equal(ct_maps_load(-1, &m), -ESRCH);
	ct_maps_fini(&m);
}

/* Killed at any instant of a reading: whole text, or none, never torn text. */
static void killed_while_read(void **state)
{
	struct ct_maps m = { 0 };

	for (int i = 0; i < 100; i++) {
		pid_t pid = unit_child(), killer = fork();
		int r;

		if (killer == 0) {
			usleep((useconds_t)(i * 5));
			kill(pid, SIGKILL);
			_exit(0);
		}
		do {
			r = ct_maps_load(pid, &m);
			assert_int_equal(r, 0);
		} while (m.text_len);
		unit_reap(killer);
		unit_reap(pid);
	}
	ct_maps_fini(&m);
}

static bool refreshed(pid_t pid, struct ct_maps *m)
{
	struct ct_maps whole = { 0 };
	bool changed = true;

	assert_int_equal(ct_maps_refresh(pid, m, &changed), 0);
	assert_int_equal(ct_maps_load(pid, &whole), 0);
	assert_int_equal(m->nr, whole.nr);
	for (size_t i = 0; i < whole.nr; i++) {
		assert_int_equal(m->vmas[i].start, whole.vmas[i].start);
		assert_int_equal(m->vmas[i].end, whole.vmas[i].end);
		assert_int_equal(m->vmas[i].w, whole.vmas[i].w);
		assert_string_equal(m->vmas[i].name, whole.vmas[i].name);
	}
	ct_maps_fini(&whole);
	return changed;
}

/* Whatever changes is seen; what does not is not read again.  Looked at from outside. */
static void refresh(void **state)
{
	size_t len = 8 * CT_PAGE_SIZE;
	struct ct_maps m = { 0 };
	int step[2], done[2];
	char b = 0;
	pid_t pid;

	assert_int_equal(pipe(step) | pipe(done), 0);
	pid = fork();
	if (pid == 0) {
		char *p = NULL;

		while (read(step[0], &b, 1) == 1) {
			if (b == 0)
				p = mmap(NULL, len, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			if (b == 1)
				mprotect(p, CT_PAGE_SIZE, PROT_NONE);
			if (b == 2)
				mmap(p, len, PROT_READ, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1,
				     0);
			if (b == 3)
				munmap(p, len);
			if (write(done[1], &b, 1) != 1)
				break;
		}
		_exit(0);
	}
	assert_true(refreshed(pid, &m));
	assert_false(refreshed(pid, &m));
	for (b = 0; b < 4; b++) {
		assert_int_equal(write(step[1], &b, 1), 1);
		assert_int_equal(read(done[0], &(char){ 0 }, 1), 1);
		assert_true(refreshed(pid, &m));
		assert_false(refreshed(pid, &m));
	}
	close(step[1]);
	kill(pid, SIGKILL);
	unit_reap(pid);
	bool changed = false;
	assert_int_equal(ct_maps_refresh(pid, &m, &changed), -ESRCH);
	assert_int_equal(m.nr, 0);
	ct_maps_fini(&m);
	close(step[0]);
	close(done[0]);
	close(done[1]);
}

static void refresh_of_a_zombie(void **state)
{
	struct ct_maps m = { 0 };
	pid_t pid = unit_child();
	bool changed = false;

	assert_int_equal(ct_maps_refresh(pid, &m, &changed), 0);
	assert_true(changed && m.nr > 5);
	unit_make_zombie(pid);
	assert_int_equal(ct_maps_refresh(pid, &m, &changed), 0);
	assert_true(changed);
	assert_int_equal(m.nr, 0);
	unit_reap(pid);
	ct_maps_fini(&m);
}

/* 300 VMAs in well under 200 us, or a fork of a Postgres backend is felt. */
static void fast_enough(void **state)
{
	struct ct_maps m = { 0 };
	u64 best = UINT64_MAX, again = UINT64_MAX;

	for (int i = 0; i < 300; i++) {
		int prot = i % 2 ? PROT_READ : PROT_READ | PROT_WRITE;

		assert_ptr_not_equal(mmap(NULL, 8 * CT_PAGE_SIZE, prot, MAP_PRIVATE | MAP_ANONYMOUS,
					  -1, 0),
				     MAP_FAILED);
	}
	for (int i = 0; i < 200; i++) {
		u64 t = ct_now_ns();

		assert_int_equal(ct_maps_load(getpid(), &m), 0);
		best = ct_min(best, ct_now_ns() - t);
	}
	print_message("%zu VMAs, %zu bytes: %lu ns", m.nr, m.text_len, best);
	for (int i = 0; i < 200; i++) {
		u64 t = ct_now_ns();
		bool changed;

		assert_int_equal(ct_maps_refresh(getpid(), &m, &changed), 0);
		again = ct_min(again, ct_now_ns() - t);
	}
	print_message(", unchanged: %lu ns\n", again);
	assert_true(m.nr >= 300);
	assert_true(best < 400000);
	ct_maps_fini(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_every_field),
		cmocka_unit_test(finds_by_address),
		cmocka_unit_test(refuses_what_is_no_maps_file),
		cmocka_unit_test(refuses_torn_text),
		cmocka_unit_test(clips_what_grew),
		cmocka_unit_test(short_reads_give_the_same),
		cmocka_unit_test(a_failing_read_is_told),
		cmocka_unit_test(processes_that_go),
		cmocka_unit_test(killed_while_read),
		cmocka_unit_test(refresh),
		cmocka_unit_test(refresh_of_a_zombie),
		cmocka_unit_test(fast_enough),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
