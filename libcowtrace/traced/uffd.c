/* SPDX-License-Identifier: MIT */
/*
 * A userfaultfd belongs to the memory of the process that makes it, so it is
 * made in the program; who issues UFFDIO_API needs privilege, so that is left to
 * the recorder.  USERFAULTFD_IOC_NEW (6.1) on a descriptor that the recorder has
 * opened asks no privilege of the program.
 *
 * Invariant: no descriptor of ours is open when this returns.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "base/rawsys.h"
#include "channel/hello.h"
#include "traced/uffd.h"

/* <linux/userfaultfd.h> of 6.1 and later: _IO(0xaa, 0) */
#define CT_USERFAULTFD_IOC_NEW 0xaa00

static int send_message(int sock, struct ct_uffd_msg *said, int uffd)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { .iov_base = said, .iov_len = sizeof(*said) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg;
	long n;

	if (uffd >= 0) {
		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &uffd, sizeof(int));
	}
	n = ct_sys3(SYS_sendmsg, sock, &msg, MSG_NOSIGNAL);
	return n < 0 ? (int)n : 0;
}

int ct_uffd_offer(int sock, int device, const u64 own[2])
{
	struct ct_uffd_msg said = { .magic = CT_UFFD_MAGIC, .own = { own[0], own[1] } };
	int uffd = -ENODEV;
	int ret;

	if (device >= 0)
		uffd = (int)ct_sys3(SYS_ioctl, device, CT_USERFAULTFD_IOC_NEW,
				    O_CLOEXEC | O_NONBLOCK);
	said.status = uffd < 0 ? uffd : 0;
	ret = send_message(sock, &said, uffd);
	if (uffd >= 0)
		ct_sys1(SYS_close, uffd);
	return said.status ? said.status : ret;
}
