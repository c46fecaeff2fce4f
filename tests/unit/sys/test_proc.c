/* SPDX-License-Identifier: MIT */
/* sys/pidfd, sys/smaps, sys/vmstat, sys/procfile: on processes whose end and memory we know. */
#include "unit.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "sys/kcaps.h"
#include "sys/pidfd.h"
#include "sys/procfile.h"
#include "sys/smaps.h"
#include "sys/vmstat.h"

static void wait_readable(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	assert_int_equal(poll(&p, 1, 5000), 1);
}

static void ends(int want, void (*end)(void))
{
	pid_t pid = fork();
	struct ct_kcaps caps;
	int pidfd, status = -1;

	if (pid == 0) {
		end();
		_exit(99);
	}
	ct_kcaps_probe(&caps);
	assert_int_equal(ct_pidfd_open(pid, &pidfd), 0);
	assert_true(fcntl(pidfd, F_GETFD) & FD_CLOEXEC);
	wait_readable(pidfd);
	/* A zombie: its stat tells. */
	assert_int_equal(ct_pidfd_exit_status(pidfd, &status), 0);
	assert_int_equal(status, want);
	unit_reap(pid);
	status = -1;
	if (caps.pidfd_exit_info) {
		assert_int_equal(ct_pidfd_exit_status(pidfd, &status), 0);
		assert_int_equal(status, want);
	} else {
		assert_int_equal(ct_pidfd_exit_status(pidfd, &status), -ENOTSUP);
		assert_int_equal(status, -1);
	}
	close(pidfd);
}

static void by_exit(void)
{
	_exit(42);
}

static void by_signal(void)
{
	raise(SIGKILL);
}

static void with_a_nasty_name(void)
{
	prctl(PR_SET_NAME, ") Z 1 (");
	_exit(3);
}

static void exit_status(void **state)
{
	ends(42 << 8, by_exit);
	ends(SIGKILL, by_signal);
	ends(3 << 8, with_a_nasty_name);
}

static void alive_is_again(void **state)
{
	pid_t pid = unit_child();
	int pidfd, status = -5;

	assert_int_equal(ct_pidfd_open(pid, &pidfd), 0);
	assert_int_equal(ct_pidfd_exit_status(pidfd, &status), -EAGAIN);
	assert_int_equal(status, -5);
	kill(pid, SIGKILL);
	unit_reap(pid);
	close(pidfd);
	assert_int_equal(ct_pidfd_open(pid, &pidfd), -ESRCH);
}

static void comm_and_exe(void **state)
{
	char buf[4096], small[4];

	prctl(PR_SET_NAME, "a (b) c");
	assert_int_equal(ct_proc_comm(getpid(), buf, sizeof(buf)), 0);
	assert_string_equal(buf, "a (b) c");
	assert_int_equal(ct_proc_comm(getpid(), small, sizeof(small)), 0);
	assert_string_equal(small, "a (");
	assert_int_equal(ct_proc_exe(getpid(), buf, sizeof(buf)), 0);
	assert_int_equal(access(buf, X_OK), 0);
	assert_int_equal(ct_proc_exe(getpid(), small, sizeof(small)), -ENAMETOOLONG);
	assert_int_equal(ct_proc_comm(getpid(), buf, 0), -EINVAL);
	assert_int_equal(ct_proc_exe(-1, buf, sizeof(buf)), -ESRCH);
	assert_int_equal(ct_proc_comm(-1, buf, sizeof(buf)), -ESRCH);
}

static void status_of_self(void **state)
{
	struct ct_proc_status st, again;

	prctl(PR_SET_NAME, "x) S 7 (y");
	assert_int_equal(ct_proc_status_read(getpid(), &st), 0);
	assert_int_equal(st.ppid, getppid());
	assert_int_equal(st.uid, getuid());
	assert_false(st.zombie);
	assert_true(st.start_ticks > 0);
	assert_int_equal(ct_proc_status_read(getpid(), &again), 0);
	assert_int_equal(again.start_ticks, st.start_ticks);
	assert_int_equal(ct_proc_status_read(-1, &st), -ESRCH);
}

static void status_of_filtered_and_zombie(void **state)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog prog = { .len = 1, .filter = &allow };
	struct ct_proc_status st, plain;
	int ready[2];
	pid_t pid;
	char b;

	assert_int_equal(ct_proc_status_read(getpid(), &plain), 0);
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		b = (char)prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
		if (write(ready[1], &b, 1) != 1)
			_exit(1);
		pause();
	}
	assert_int_equal(read(ready[0], &b, 1), 1);
	assert_int_equal(ct_proc_status_read(pid, &st), 0);
	assert_int_equal(st.seccomp, b == 0 || plain.seccomp);
	assert_int_equal(st.ppid, getpid());
	unit_make_zombie(pid);
	assert_int_equal(ct_proc_status_read(pid, &st), 0);
	assert_true(st.zombie);
	unit_reap(pid);
	assert_int_equal(ct_proc_status_read(pid, &st), -ESRCH);
	close(ready[0]);
	close(ready[1]);
}

static void smaps_of_known_memory(void **state)
{
	size_t len = 100 * CT_PAGE_SIZE;
	char *p = mmap(NULL, len + 2 * CT_PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct ct_smaps_sum before, sum;
	u64 start = (uintptr_t)p + CT_PAGE_SIZE;

	assert_int_equal(mprotect(p + CT_PAGE_SIZE, len, PROT_READ | PROT_WRITE), 0);
	assert_int_equal(ct_smaps_rollup(getpid(), &before), 0);
	memset(p + CT_PAGE_SIZE, 1, 60 * CT_PAGE_SIZE);
	assert_int_equal(ct_smaps_range(getpid(), start, start + len, &sum), 0);
	assert_int_equal(sum.rss, 60 * CT_PAGE_SIZE);
	assert_int_equal(sum.private_dirty, 60 * CT_PAGE_SIZE);
	assert_int_equal(sum.anonymous, 60 * CT_PAGE_SIZE);
	assert_int_equal(sum.shared_clean + sum.shared_dirty + sum.swap + sum.ksm, 0);
	/* Half-open: the neighbours have nothing. */
	assert_int_equal(ct_smaps_range(getpid(), start - CT_PAGE_SIZE, start, &sum), 0);
	assert_int_equal(sum.rss, 0);
	assert_int_equal(ct_smaps_rollup(getpid(), &sum), 0);
	assert_true(sum.private_dirty >= before.private_dirty + 60 * CT_PAGE_SIZE);
	assert_true(sum.rss >= sum.private_dirty);
	munmap(p, len + 2 * CT_PAGE_SIZE);
}

static void smaps_of_processes_that_go(void **state)
{
	struct ct_smaps_sum sum = { .rss = 1 };
	pid_t pid = unit_child();

	assert_int_equal(ct_smaps_rollup(pid, &sum), 0);
	sum.rss = 1;
	unit_make_zombie(pid);
	assert_int_equal(ct_smaps_rollup(pid, &sum), -ESRCH);
	assert_int_equal(ct_smaps_range(pid, 0, UINT64_MAX, &sum), -ESRCH);
	unit_reap(pid);
	assert_int_equal(ct_smaps_rollup(pid, &sum), -ESRCH);
	assert_int_equal(sum.rss, 1);
}

static void vmstat_moves(void **state)
{
	struct ct_vmstat a, b, moves;
	int fd;

	assert_int_equal(ct_vmstat_open(&fd), 0);
	assert_int_equal(ct_vmstat_read(fd, &a), 0);
	assert_true(a.have & (1u << CT_VMSTAT_PGMIGRATE_SUCCESS) || a.have == 0);
	assert_int_equal(ct_vmstat_read_moves(fd, &moves), 0);
	assert_int_equal(ct_vmstat_read(fd, &b), 0);
	assert_int_equal(a.have, b.have);
	for (int i = 0; i <= CT_VMSTAT_THP_COLLAPSE_ALLOC; i++) {
		assert_int_equal(moves.have & (1u << i), a.have & (1u << i));
		assert_true(moves.v[i] >= a.v[i] && moves.v[i] <= b.v[i]);
	}
	for (int i = 0; i < CT_VMSTAT_NR; i++) {
		assert_true(b.v[i] >= a.v[i]);
		if (!(a.have & (1u << i)))
			assert_int_equal(a.v[i], 0);
	}
	close(fd);
	assert_int_equal(ct_vmstat_read(fd, &b), -EBADF);
}

static void ksm_can_be_read(void **state)
{
	struct ct_ksm k = { .run = 77 };
	u64 items = 0;
	int r;

	assert_int_equal(ct_ksm_read(&k), 0);
	assert_in_range(k.run, 0, 2);
	r = ct_ksm_of_process(getpid(), &items);
	assert_true(r == 0 || r == -ENOENT);
	/* Nothing of ours is mergeable. */
	assert_int_equal(items, 0);
	assert_true(ct_ksm_of_process(-1, &items) < 0);
}

static void numbers(void **state)
{
	static const char *const bad[] = { "", "x", " ", "-1", "18446744073709551616" };
	const char *p = " \t18446744073709551615 kB";
	u64 v = 5;

	assert_true(ct_parse_u64(&p, &v));
	assert_true(v == UINT64_MAX);
	assert_string_equal(p, " kB");
	for (size_t i = 0; i < ct_array_size(bad); i++) {
		p = bad[i];
		v = 5;
		assert_false(ct_parse_u64(&p, &v));
		assert_int_equal(v, 5);
		assert_ptr_equal(p, bad[i]);
	}
}

static void keys(void **state)
{
	const char *text = "NPid: 1\nPid: 2\nPid: 3";

	assert_string_equal(ct_text_find_key(text, "Pid:"), " 2\nPid: 3");
	assert_null(ct_text_find_key(text, "id:"));
	assert_null(ct_text_find_key("", "a"));
	assert_null(ct_text_find_key(NULL, "a"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exit_status),
		cmocka_unit_test(alive_is_again),
		cmocka_unit_test(comm_and_exe),
		cmocka_unit_test(status_of_self),
		cmocka_unit_test(status_of_filtered_and_zombie),
		cmocka_unit_test(smaps_of_known_memory),
		cmocka_unit_test(smaps_of_processes_that_go),
		cmocka_unit_test(vmstat_moves),
		cmocka_unit_test(ksm_can_be_read),
		cmocka_unit_test(numbers),
		cmocka_unit_test(keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
