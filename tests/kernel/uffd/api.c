/* SPDX-License-Identifier: MIT */
/*
 * UFFDIO_API may be done by another process than the one whose memory it is, and
 * EVENT_FORK asks for CAP_SYS_PTRACE of the process that makes the call: nobody is
 * refused and may have the rest; we, for him, are not.  Once only; nothing else works
 * before.  A refusal leaves the userfaultfd as it was.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "subject.h"

static char *page;
static int device;

static int own(uint64_t features)
{
	int fd = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK), r;

	if (fd < 0)
		lab_die("a userfaultfd of its own");
	r = uffd_api(fd, features);
	close(fd);
	return r;
}

static void step(int n)
{
	if (n == -1) {
		if (setresuid(65534, 65534, 65534) < 0)
			lab_die("become nobody");
		shared[0] = (uint64_t)own(FEATURES);
		shared[1] = (uint64_t)own(FEATURES & ~UFFD_FEATURE_EVENT_FORK);
	} else if (n == 0) {
		*page = 1;
	} else if (fork() == 0) {
		_exit(0);
	}
}

int main(void)
{
	struct subject s;
	int child;

	page = lab_map(1);
	device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	s = subject_start(step);
	check((int)shared[0] == -EPERM, "EVENT_FORK for nobody: %d", (int)shared[0]);
	check((int)shared[1] == 0, "the rest for nobody: %d", (int)shared[1]);
	subject_step(&s, 0);
	check(uffd_register(s.uffd, page, 1) == -EINVAL, "registered before UFFDIO_API");
	check(uffd_api(s.uffd, FEATURES | 1ULL << 63) == -EINVAL, "a feature that is none");
	check(uffd_api(s.uffd, FEATURES) == 0, "UFFDIO_API by another process");
	check(uffd_api(s.uffd, FEATURES) == -EINVAL, "UFFDIO_API a second time");
	uffd_arm(s.uffd, page, 1);
	subject_tell(&s, 1);
	child = uffd_next_fork(s.uffd);
	check(subject_done(&s, 10000), "fork does not end");
	close(child);
	subject_end(&s);
	return lab_result();
}
