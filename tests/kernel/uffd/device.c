/* SPDX-License-Identifier: MIT */
/*
 * Whoever is handed an open /dev/userfaultfd makes userfaultfds from it, whatever he
 * may do himself: the process here is nobody, cannot open the device, has no
 * userfaultfd(2) but one for user faults only, and yet we are told of the kernel's
 * write into its buffer.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/stat.h>
#include <unistd.h>

#include "subject.h"

static char *page;
static int pipe_fd[2];

static void step(int n)
{
	if (n == -1) {
		if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0)
			lab_die("become nobody");
		shared[0] = open("/dev/userfaultfd", O_RDWR) < 0 ? errno : 0;
		shared[1] = syscall(SYS_userfaultfd, O_CLOEXEC) < 0 ? errno : 0;
		return;
	}
	if (n == 0)
		*page = 1;
	else
		shared[2] = (uint64_t)read(pipe_fd[0], page, 4);
}

int main(void)
{
	struct uffd_msg msg;
	struct subject s;
	struct stat st;
	char text[64];

	page = lab_map(1);
	if (pipe(pipe_fd) < 0 || write(pipe_fd[1], "abcd", 4) != 4)
		lab_die("pipe");
	s = subject_serve(step);
	if (stat("/dev/userfaultfd", &st) == 0 && !(st.st_mode & 06))
		check(shared[0] == EACCES, "nobody can open the device: %d", (int)shared[0]);
	if (lab_read_text("/proc/sys/vm/unprivileged_userfaultfd", text, sizeof(text)) &&
	    text[0] == '0')
		check(shared[1] == EPERM, "nobody has userfaultfd(2): %d", (int)shared[1]);
	subject_step(&s, 0);
	uffd_arm(s.uffd, page, 1);
	subject_tell(&s, 1);
	msg = uffd_next(s.uffd);
	check(msg.event == UFFD_EVENT_PAGEFAULT && msg.arg.pagefault.feat.ptid == (uint32_t)s.pid,
	      "event %#x of thread %u", msg.event, msg.arg.pagefault.feat.ptid);
	check(!subject_done(&s, 20), "read(2) went on");
	check(uffd_lift(s.uffd, page, 1, true) == 0, "cannot lift");
	check(subject_done(&s, 10000) && shared[2] == 4, "read(2) gave %d", (int)shared[2]);
	subject_end(&s);
	return lab_result();
}
