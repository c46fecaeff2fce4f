/* SPDX-License-Identifier: MIT */
/*
 * The thread that waits: who says HELLO rightly is passed on, and who says
 * nothing, or something else, costs no descriptor for long.
 */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/futex.h"
#include "recorder/io.h"
#include "recorder_util.h"
#include "sys/pidfd.h"

static const char token[CT_TOKEN_LEN + 1] = "0123456789abcdef0123456789abcdef";
static struct ct_segment *seg;
static struct sockaddr_un address;
static int listen_fd, control[2];
static struct ct_io *io;

static int setup(void **state)
{
	seg = mmap(NULL, sizeof(*seg), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	address.sun_family = AF_UNIX;
	snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "cowtrace-test-io-%d",
		 (int)getpid());
	listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
	if (seg == MAP_FAILED || bind(listen_fd, (struct sockaddr *)&address, sizeof(address)) ||
	    listen(listen_fd, 1024) || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, control))
		return -1;
	return ct_io_create(seg, listen_fd, control[1], token, &io);
}

static int teardown(void **state)
{
	ct_io_destroy(io);
	ct_io_destroy(NULL);
	close(listen_fd);
	close(control[0]);
	close(control[1]);
	munmap(seg, sizeof(*seg));
	return 0;
}

static int connect_peer(void)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* The next item, within two seconds; NULL: none came. */
static struct ct_inbox_item *next_item(void)
{
	struct ct_inbox_item *i;
	int tries;

	for (tries = 0; tries < 2000; tries++) {
		i = ct_io_take(io);
		if (i)
			return i;
		usleep(1000);
	}
	return NULL;
}

static bool closed_within(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char c;

	return poll(&p, 1, ms) == 1 && recv(fd, &c, 1, 0) <= 0;
}

static struct ct_hello good_hello(void)
{
	struct ct_hello h = { .magic = CT_HELLO_MAGIC, .version = CT_SEG_VERSION, .pid = 77 };

	memcpy(h.token, token, CT_TOKEN_LEN);
	return h;
}

static void test_hello(void **state)
{
	struct ct_hello h = good_hello();
	int fd = connect_peer();
	struct ct_inbox_item *i;

	assert_int_equal(send(fd, &h, sizeof(h), 0), sizeof(h));
	i = next_item();
	assert_non_null(i);
	assert_null(i->next);
	assert_int_equal(i->type, CT_IN_HELLO);
	/* Whatever it says it is, the kernel says who it is. */
	assert_int_equal(i->pid, getpid());
	assert_int_equal(i->hello.pid, 77);
	assert_int_equal(send(i->fd, "x", 1, 0), 1);
	close(i->fd);
	free(i);
	close(fd);
}

static void test_wrong_hellos(void **state)
{
	struct ct_hello h[4] = { good_hello(), good_hello(), good_hello(), good_hello() };
	int fd, i;

	h[0].magic++;
	h[1].version++;
	h[2].token[CT_TOKEN_LEN - 1] ^= 1;
	for (i = 0; i < 4; i++) {
		size_t len = i == 3 ? sizeof(h[3]) - 1 : sizeof(h[i]);

		fd = connect_peer();
		assert_int_equal(send(fd, &h[i], len, 0), len);
		assert_true(closed_within(fd, CT_HELLO_TIMEOUT_MS - 100));
		close(fd);
	}
	fd = connect_peer();
	close(fd);
	assert_null(ct_io_take(io));
}

static u32 open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	u32 nr = 0;

	while (readdir(d))
		nr++;
	closedir(d);
	return nr;
}

/* More silent ones than there is room for: the oldest go, a good one gets through. */
static void test_crowd(void **state)
{
	struct ct_hello h = good_hello();
	u32 before = open_fds();
	struct ct_inbox_item *in;
	int fd[400], good, i;
	u64 start = ct_now_ns();

	for (i = 0; i < 400; i++)
		fd[i] = connect_peer();
	assert_true(closed_within(fd[0], 5000));
	good = connect_peer();
	assert_int_equal(send(good, &h, sizeof(h), 0), sizeof(h));
	in = next_item();
	assert_non_null(in);
	close(in->fd);
	free(in);
	/* The last of them, when its time is over. */
	assert_true(closed_within(fd[399], 5 * CT_HELLO_TIMEOUT_MS));
	assert_true(ct_now_ns() - start >= CT_HELLO_TIMEOUT_MS * CT_NSEC_PER_MSEC);
	for (i = 0; i < 400; i++)
		close(fd[i]);
	close(good);
	/* One of an earlier test may have been on its way out then. */
	assert_true(open_fds() <= before);
}

static void test_pidfd_and_control(void **state)
{
	struct ct_inbox_item *i;
	pid_t pid = fork();
	int pidfd;

	if (pid == 0) {
		pause();
		_exit(0);
	}
	assert_int_equal(ct_pidfd_open(pid, &pidfd), 0);
	assert_int_equal(ct_io_watch(io, pidfd, 4711), 0);
	assert_int_equal(send(control[0], "E", 1, 0), 1);
	i = next_item();
	assert_non_null(i);
	assert_int_equal(i->type, CT_IN_COMMAND_ENDED);
	free(i);
	kill(pid, SIGKILL);
	i = next_item();
	assert_non_null(i);
	assert_int_equal(i->type, CT_IN_GONE);
	assert_int_equal(i->id, 4711);
	assert_null(i->next);
	free(i);
	usleep(5000);
	assert_null(ct_io_take(io)); /* once */
	ct_io_unwatch(io, pidfd);
	waitpid(pid, NULL, 0);
	assert_int_equal(send(control[0], "S", 1, 0), 1);
	i = next_item();
	assert_non_null(i);
	assert_int_equal(i->type, CT_IN_STOP);
	free(i);
	/* The supervisor's end: told once, and no spinning on it. */
	shutdown(control[0], SHUT_RDWR);
	i = next_item();
	assert_non_null(i);
	assert_int_equal(i->type, CT_IN_COMMAND_ENDED);
	free(i);
	usleep(5000);
	assert_null(ct_io_take(io));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hello),
		cmocka_unit_test(test_wrong_hellos),
		cmocka_unit_test(test_crowd),
		cmocka_unit_test(test_pidfd_and_control),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
