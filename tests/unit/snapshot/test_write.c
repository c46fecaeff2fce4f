/* SPDX-License-Identifier: MIT */
/*
 * Writing out while somebody writes in: files, pipes, sockets, appending files, from
 * any position; checksums; progress that stops, rates that hold, errors of the other
 * side.
 */
#include "snap_util.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

#include "snapshot/crc.h"

#define LEN (16 * MIB)

static _Atomic bool stop;

/* Writes anywhere, for as long as it lasts. */
static void *scribble(void *arg)
{
	volatile char *p = cowtrace_heap_base(arg);
	uint64_t rnd = 42;

	while (!stop)
		p[snap_rnd(&rnd) % LEN]++;
	return NULL;
}

struct drain {
	int fd;
	char *to;
	size_t len;
};

static void *drain(void *arg)
{
	struct drain *d = arg;
	ssize_t n;

	while ((n = read(d->fd, d->to + d->len, LEN + 1 - d->len)) > 0)
		d->len += (size_t)n;
	return NULL;
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct fixture {
	struct cowtrace_heap *h;
	struct cowtrace_snapshot *s;
	char *want;
	uint32_t crc;
	pthread_t writer;
};

static void begin(struct fixture *f, const struct way *way)
{
	char *p;

	f->h = snap_heap(way, LEN);
	p = cowtrace_heap_base(f->h);
	for (size_t i = 0; i < LEN; i += 8)
		*(uint64_t *)(p + i) = i * 0x9e3779b97f4a7c15u;
	f->want = malloc(LEN);
	memcpy(f->want, p, LEN);
	f->s = snap_take(f->h);
	f->crc = cowtrace_crc32c(0, f->want, LEN);
	stop = false;
	assert_int_equal(pthread_create(&f->writer, NULL, scribble, f->h), 0);
}

static void end(struct fixture *f)
{
	stop = true;
	pthread_join(f->writer, NULL);
	cowtrace_heap_destroy(f->h);
	free(f->want);
}

static void test_file(void **state)
{
	int fd = memfd_create("out", 0);
	struct fixture f;
	char *p;

	begin(&f, *state);
	for (int i = 0; i < 3; i++) {
		struct cowtrace_write_opts o = { .sz = sizeof(o) };
		uint32_t crc = 0;

		o.ret_crc = i % 2 ? NULL : &crc;
		assert_int_equal(lseek(fd, i * 100, SEEK_SET), i * 100);
		ok(cowtrace_snapshot_write_fd(f.s, fd, &o));
		assert_int_equal(lseek(fd, 0, SEEK_CUR), LEN + i * 100);
		p = mmap(NULL, LEN + 4096, PROT_READ, MAP_SHARED, fd, 0);
		assert_memory_equal(p + i * 100, f.want, LEN);
		munmap(p, LEN + 4096);
		if (o.ret_crc)
			assert_int_equal(crc, f.crc);
	}
	end(&f);
	close(fd);
}

static void through(struct fixture *f, int in, int out)
{
	struct drain d = { .fd = out, .to = malloc(LEN + 1) };
	struct cowtrace_write_opts o = { .sz = sizeof(o) };
	pthread_t thread;
	uint32_t crc = 0;

	o.ret_crc = &crc;
	assert_int_equal(pthread_create(&thread, NULL, drain, &d), 0);
	ok(cowtrace_snapshot_write_fd(f->s, in, &o));
	close(in);
	pthread_join(thread, NULL);
	close(out);
	assert_int_equal(d.len, LEN);
	assert_memory_equal(d.to, f->want, LEN);
	assert_int_equal(crc, f->crc);
	free(d.to);
}

static void test_streams(void **state)
{
	struct fixture f;
	int fds[2];

	begin(&f, *state);
	assert_int_equal(pipe(fds), 0);
	through(&f, fds[1], fds[0]);
	/* One that does not block is waited for. */
	assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
	fcntl(fds[0], F_SETFL, 0);
	through(&f, fds[1], fds[0]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	through(&f, fds[1], fds[0]);
	end(&f);
}

static void test_append(void **state)
{
	char name[] = "/tmp/snapshot-test-XXXXXX", *p;
	int fd = mkostemp(name, O_APPEND);
	struct fixture f;

	assert_true(fd >= 0);
	unlink(name);
	begin(&f, *state);
	assert_int_equal(write(fd, "head", 4), 4);
	ok(cowtrace_snapshot_write_fd(f.s, fd, NULL));
	p = mmap(NULL, LEN + 4, PROT_READ, MAP_SHARED, fd, 0);
	assert_memory_equal(p, "head", 4);
	assert_memory_equal(p + 4, f.want, LEN);
	munmap(p, LEN + 4);
	end(&f);
	close(fd);
}

struct progress {
	uint64_t last, calls, stop_at;
};

static int on_progress(void *arg, uint64_t done, uint64_t total)
{
	struct progress *p = arg;

	assert_true(done > p->last && done <= total && total == LEN);
	p->last = done;
	p->calls++;
	return p->stop_at && done >= p->stop_at ? 4711 : 0;
}

static void test_progress(void **state)
{
	struct progress p = { 0 };
	struct cowtrace_write_opts o = { .sz = sizeof(o), .progress = on_progress, .arg = &p };
	int fd = memfd_create("out", 0);
	struct fixture f;
	double t;

	begin(&f, *state);
	ok(cowtrace_snapshot_write_fd(f.s, fd, &o));
	assert_int_equal(p.last, LEN);
	assert_int_equal(p.calls, 16);
	p = (struct progress){ .stop_at = 5 * MIB };
	assert_int_equal(cowtrace_snapshot_write_fd(f.s, fd, &o), 4711);
	assert_int_equal(p.last, 5 * MIB);
	/* 16 MiB at 64 MiB a second: a quarter of a second. */
	p = (struct progress){ 0 };
	o.bytes_per_s = 64 * MIB;
	t = seconds();
	ok(cowtrace_snapshot_write_fd(f.s, fd, &o));
	t = seconds() - t;
	assert_true(t > 0.24);
	end(&f);
	close(fd);
}

static void test_errors(void **state)
{
	struct cowtrace_write_opts o = { .sz = sizeof(o) };
	int fds[2], fd = open("/dev/full", O_WRONLY);
	uint32_t crc = 0x1234;
	struct fixture f;

	begin(&f, *state);
	signal(SIGPIPE, SIG_IGN);
	o.ret_crc = &crc;
	assert_int_equal(cowtrace_snapshot_write_fd(f.s, fd, &o), -ENOSPC);
	assert_int_equal(pipe(fds), 0);
	close(fds[0]);
	assert_int_equal(cowtrace_snapshot_write_fd(f.s, fds[1], &o), -EPIPE);
	close(fds[1]);
	close(fd);
	fd = open("/dev/null", O_RDONLY);
	assert_int_equal(cowtrace_snapshot_write_fd(f.s, fd, &o), -EBADF);
	assert_int_equal(crc, 0x1234);
	close(fd);
	end(&f);
}

static void test_crc(void **state)
{
	unsigned char zeros[32] = { 0 }, count[32], odd[1000];
	uint64_t rnd = 7;

	/* RFC 3720, B.4. */
	assert_int_equal(cowtrace_crc32c(0, zeros, 32), 0x8a9136aa);
	for (int i = 0; i < 32; i++)
		count[i] = (unsigned char)i;
	assert_int_equal(cowtrace_crc32c(0, count, 32), 0x46dd794e);
	memset(zeros, 0xff, 32);
	assert_int_equal(cowtrace_crc32c(0, zeros, 32), 0x62a8ab43);
	assert_int_equal(cowtrace_crc32c(0, "123456789", 9), 0xe3069283);
	for (size_t i = 0; i < sizeof(odd); i++)
		odd[i] = (unsigned char)snap_rnd(&rnd);
	for (size_t from = 0; from < 9; from++) {
		for (size_t len = 0; len < 900; len += 13) {
			uint32_t whole = cowtrace_crc32c(0, odd + from, len);

			assert_int_equal(whole, ct_snap_crc_table(0, odd + from, len));
			assert_int_equal(whole,
					 cowtrace_crc32c(cowtrace_crc32c(0, odd + from, len / 3),
							 odd + from + len / 3, len - len / 3));
		}
	}
}

int main(void)
{
	static const struct {
		const char *name;
		void (*run)(void **state);
	} kinds[] = {
		{ "file", test_file },	   { "streams", test_streams },
		{ "append", test_append }, { "progress", test_progress },
		{ "errors", test_errors },
	};
	struct CMUnitTest tests[16] = { cmocka_unit_test(test_crc) };
	size_t nr = 1;

	for (size_t k = 0; k < 5; k++)
		for (size_t w = 0; w < 3; w += 2)
			tests[nr++] = (struct CMUnitTest){ kinds[k].name, kinds[k].run, NULL, NULL,
							   (void *)&snap_ways[w] };
	return _cmocka_run_group_tests("snapshot write", tests, nr, NULL, NULL);
}
