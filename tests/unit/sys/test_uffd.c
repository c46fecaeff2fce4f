/* SPDX-License-Identifier: MIT */
/* sys/uffd: each call, and each error that its header promises, on memory of our own. */
#include "unit.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "sys/pagemap.h"
#include "sys/pidfd.h"
#include "sys/uffd.h"

#define NR 4

static int dev = -1;

/* One userfaultfd for this process and NR pages that are there and registered. */
struct bed {
	int fd;
	char *p;
	char *place; /* where it may move to */
	u64 start;
	pthread_t thread;
	atomic_int done;
	pid_t child;
};

static void bed_open(struct bed *b)
{
	u64 missing = 77;

	assert_int_equal(ct_uffd_create(dev, &b->fd), 0);
	assert_int_equal(ct_uffd_api(b->fd, &missing), 0);
	assert_int_equal(missing, 77);
	b->p = mmap(NULL, NR * CT_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		    -1, 0);
	assert_ptr_not_equal(b->p, MAP_FAILED);
	b->start = (uintptr_t)b->p;
	for (size_t i = 0; i < NR; i++)
		b->p[i * CT_PAGE_SIZE] = 1;
	assert_int_equal(ct_uffd_register_wp(b->fd, b->start, NR * CT_PAGE_SIZE), 0);
	b->done = 0;
}

static void bed_close(struct bed *b)
{
	close(b->fd);
	munmap(b->p, NR * CT_PAGE_SIZE);
}

static bool protected(struct bed *b, size_t i)
{
	ct_auto_fd int pagemap = -1;
	u64 e;

	assert_int_equal(ct_pagemap_open(getpid(), &pagemap), 0);
	assert_int_equal(ct_pagemap_read(pagemap, ct_page_of(b->start) + i, 1, &e), 1);
	return e & CT_PM_UFFD_WP;
}

static void wait_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&p, 1, 10000), 1);
	assert_int_equal(p.revents, POLLIN);
}

static void errors_before_all(void **state)
{
	ct_auto_fd int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ct_auto_fd int fd = -1;
	struct uffd_msg msg;
	u64 missing;

	assert_int_equal(ct_uffd_create(null, &fd), -ENOTTY);
	assert_int_equal(fd, -1);
	assert_int_equal(ct_uffd_api(null, &missing), -ENOTTY);
	assert_int_equal(ct_uffd_create(dev, &fd), 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_int_equal(ct_uffd_read(fd, &msg, 1), -EINVAL);
	assert_int_equal(ct_uffd_api(fd, &missing), 0);
	assert_int_equal(ct_uffd_api(fd, &missing), -EINVAL);
	assert_int_equal(ct_uffd_read(fd, &msg, 1), -EAGAIN);
	assert_int_equal(ct_uffd_read(fd, &msg, 0), -EINVAL);
}

static void features(void **state)
{
	u64 have = 0;

	assert_int_equal(ct_uffd_features(&have), 0);
	assert_int_equal(have & CT_UFFD_FEATURES, CT_UFFD_FEATURES);
}

/* Without CAP_SYS_PTRACE there is a userfaultfd from the device, and no EVENT_FORK. */
static void no_privilege(void **state)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		u64 missing;
		int fd;

		if (setresuid(65534, 65534, 65534) < 0 || ct_uffd_create(dev, &fd) < 0)
			_exit(1);
		_exit(ct_uffd_api(fd, &missing) == -EPERM ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void protects(void **state)
{
	struct bed b;

	bed_open(&b);
	assert_false(protected(&b, 1));
	assert_int_equal(ct_uffd_protect(b.fd, b.start, NR * CT_PAGE_SIZE), 0);
	assert_true(protected(&b, 0) && protected(&b, NR - 1));
	/* Registering again changes nothing. */
	assert_int_equal(ct_uffd_register_wp(b.fd, b.start, NR * CT_PAGE_SIZE), 0);
	assert_true(protected(&b, 1));
	assert_int_equal(ct_uffd_unprotect(b.fd, b.start + CT_PAGE_SIZE, CT_PAGE_SIZE, false), 0);
	assert_true(protected(&b, 0));
	assert_false(protected(&b, 1));
	b.p[CT_PAGE_SIZE] = 2;
	assert_int_equal(ct_uffd_unregister(b.fd, b.start, NR * CT_PAGE_SIZE), 0);
	assert_false(protected(&b, 0));
	assert_int_equal(ct_uffd_protect(b.fd, b.start, CT_PAGE_SIZE), -ENOENT);
	assert_int_equal(ct_uffd_unprotect(b.fd, b.start, CT_PAGE_SIZE, true), -ENOENT);
	b.p[0] = 2;
	bed_close(&b);
}

static void refuses(void **state)
{
	ct_auto_fd int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct bed b, other;
	char *p = mmap(NULL, CT_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	bed_open(&b);
	bed_open(&other);
	assert_int_equal(ct_uffd_register_wp(b.fd, (uintptr_t)p, CT_PAGE_SIZE), -EINVAL);
	assert_int_equal(ct_uffd_register_wp(b.fd, b.start + 1, CT_PAGE_SIZE), -EINVAL);
	assert_int_equal(ct_uffd_register_wp(b.fd, other.start, CT_PAGE_SIZE), -EBUSY);
	assert_int_equal(ct_uffd_protect(b.fd, b.start, 17), -EINVAL);
	assert_int_equal(ct_uffd_wake(b.fd, b.start + 17, CT_PAGE_SIZE), -EINVAL);
	assert_int_equal(ct_uffd_wake(b.fd, b.start, CT_PAGE_SIZE), 0);
	bed_close(&other);
	munmap(p, CT_PAGE_SIZE);
	assert_int_equal(ct_uffd_register_wp(b.fd, (uintptr_t)p, CT_PAGE_SIZE), -EINVAL);
	bed_close(&b);
}

static void *writes(void *arg)
{
	struct bed *b = arg;

	b->p[CT_PAGE_SIZE + 5] = 9;
	b->done = (int)syscall(SYS_gettid);
	return NULL;
}

/* One message; nothing goes on before the wake; the message tells where and who. */
static void serves_a_write(void **state)
{
	struct uffd_msg msg[2];
	struct bed b;
	u64 pending = 77;

	bed_open(&b);
	assert_int_equal(ct_uffd_protect(b.fd, b.start, NR * CT_PAGE_SIZE), 0);
	assert_int_equal(pthread_create(&b.thread, NULL, writes, &b), 0);
	wait_readable(b.fd);
	assert_int_equal(ct_uffd_pending(b.fd, &pending), 0);
	assert_int_equal(pending, 1);
	assert_int_equal(ct_uffd_read(b.fd, msg, 2), 1);
	assert_int_equal(msg[0].event, UFFD_EVENT_PAGEFAULT);
	assert_int_equal(msg[0].arg.pagefault.address, b.start + CT_PAGE_SIZE + 5);
	assert_int_equal(msg[0].arg.pagefault.flags,
			 UFFD_PAGEFAULT_FLAG_WP | UFFD_PAGEFAULT_FLAG_WRITE);
	assert_int_equal(ct_uffd_unprotect(b.fd, b.start + CT_PAGE_SIZE, CT_PAGE_SIZE, false), 0);
	assert_int_equal(ct_uffd_pending(b.fd, &pending), 0);
	assert_int_equal(pending, 0);
	usleep(20000);
	assert_int_equal(b.done, 0);
	assert_int_equal(ct_uffd_wake(b.fd, b.start + CT_PAGE_SIZE, CT_PAGE_SIZE), 0);
	pthread_join(b.thread, NULL);
	assert_int_equal(b.done, msg[0].arg.pagefault.feat.ptid);
	assert_int_equal(ct_uffd_read(b.fd, msg, 1), -EAGAIN);
	bed_close(&b);
}

static void *forks(void *arg)
{
	struct bed *b = arg;
	pid_t pid = fork();

	if (pid == 0) {
		/* Served by the parent, through the child's own userfaultfd. */
		b->p[0] = 7;
		_exit(b->p[0]);
	}
	b->child = pid;
	return NULL;
}

/* EAGAIN until the event is read and the fork over; EMFILE leaves the event. */
static void serves_a_fork(void **state)
{
	struct rlimit was, none;
	struct uffd_msg msg;
	struct bed b;
	int status, child, r;
	u64 pending = 77;

	bed_open(&b);
	assert_int_equal(ct_uffd_protect(b.fd, b.start, NR * CT_PAGE_SIZE), 0);
	assert_int_equal(pthread_create(&b.thread, NULL, forks, &b), 0);
	wait_readable(b.fd);
	assert_int_equal(ct_uffd_pending(b.fd, &pending), 0);
	assert_int_equal(pending, 0);
	assert_int_equal(ct_uffd_protect(b.fd, b.start, CT_PAGE_SIZE), -EAGAIN);
	assert_int_equal(ct_uffd_unprotect(b.fd, b.start, CT_PAGE_SIZE, true), -EAGAIN);
	getrlimit(RLIMIT_NOFILE, &was);
	none = was;
	none.rlim_cur = 0;
	setrlimit(RLIMIT_NOFILE, &none);
	assert_int_equal(ct_uffd_read(b.fd, &msg, 1), -EMFILE);
	setrlimit(RLIMIT_NOFILE, &was);
	assert_int_equal(ct_uffd_read(b.fd, &msg, 1), 1);
	assert_int_equal(msg.event, UFFD_EVENT_FORK);
	child = (int)msg.arg.fork.ufd;
	assert_int_equal(fcntl(child, F_GETFD), FD_CLOEXEC);
	assert_true(fcntl(child, F_GETFL) & O_NONBLOCK);
	pthread_join(b.thread, NULL);
	do
		r = ct_uffd_protect(b.fd, b.start, CT_PAGE_SIZE);
	while (r == -EAGAIN);
	assert_int_equal(r, 0);
	/* The child writes on its own stack, and there is none of ours: only this page. */
	wait_readable(child);
	assert_int_equal(ct_uffd_read(child, &msg, 1), 1);
	assert_int_equal(msg.event, UFFD_EVENT_PAGEFAULT);
	assert_int_equal(msg.arg.pagefault.address, b.start);
	assert_int_equal(ct_uffd_unprotect(child, b.start, CT_PAGE_SIZE, true), 0);
	assert_int_equal(waitpid(b.child, &status, 0), b.child);
	assert_int_equal(WEXITSTATUS(status), 7);
	assert_int_equal(b.p[0], 1);
	assert_int_equal(ct_uffd_protect(child, b.start, CT_PAGE_SIZE), -ESRCH);
	assert_int_equal(ct_uffd_register_wp(child, b.start, CT_PAGE_SIZE), -ESRCH);
	assert_int_equal(ct_uffd_unregister(child, b.start, CT_PAGE_SIZE), -ESRCH);
	assert_int_equal(ct_uffd_read(child, &msg, 1), -EAGAIN);
	close(child);
	bed_close(&b);
}

static void *moves(void *arg)
{
	struct bed *b = arg;
	b->p = mremap(b->p, NR * CT_PAGE_SIZE, NR * CT_PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED,
		      b->place);
	return NULL;
}

static void serves_a_move(void **state)
{
	struct uffd_msg msg;
	struct bed b;

	bed_open(&b);
	b.place = mmap(NULL, NR * CT_PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(b.place, MAP_FAILED);
	assert_int_equal(pthread_create(&b.thread, NULL, moves, &b), 0);
	wait_readable(b.fd);
	assert_int_equal(ct_uffd_protect(b.fd, b.start, CT_PAGE_SIZE), -EAGAIN);
	assert_int_equal(ct_uffd_read(b.fd, &msg, 1), 1);
	pthread_join(b.thread, NULL);
	assert_int_equal(msg.event, UFFD_EVENT_REMAP);
	assert_int_equal(msg.arg.remap.from, b.start);
	assert_int_equal(msg.arg.remap.to, (uintptr_t)b.place);
	assert_int_equal(msg.arg.remap.len, NR * CT_PAGE_SIZE);
	b.start = (uintptr_t)b.p;
	assert_int_equal(ct_uffd_protect(b.fd, b.start, CT_PAGE_SIZE), 0);
	assert_int_equal(ct_uffd_unprotect(b.fd, b.start, CT_PAGE_SIZE, true), 0);
	bed_close(&b);
}

static void pending_of_nothing(void **state)
{
	ct_auto_fd int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	u64 nr = 77;

	assert_int_equal(ct_uffd_pending(null, &nr), -ENOTSUP);
	assert_int_equal(ct_uffd_pending(-1, &nr), -ENOENT);
	assert_int_equal(nr, 77);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(errors_before_all),
		cmocka_unit_test(features),
		cmocka_unit_test(no_privilege),
		cmocka_unit_test(protects),
		cmocka_unit_test(refuses),
		cmocka_unit_test(serves_a_write),
		cmocka_unit_test(serves_a_fork),
		cmocka_unit_test(serves_a_move),
		cmocka_unit_test(pending_of_nothing),
	};
	int r = ct_uffd_open_dev(&dev);

	if (r < 0 || geteuid() != 0) {
		printf("SKIP: needs root and /dev/userfaultfd (%s)\n", r < 0 ? strerror(-r) : "ok");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
