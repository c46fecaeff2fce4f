/* SPDX-License-Identifier: MIT */
/*
 * How descriptors leave the program.  It opens and closes none.
 *
 * Invariant: errno is the program's.
 */
#include <string.h>
#include <sys/socket.h>

#include "base/rawsys.h"
#include "traced/pass.h"

int ct_pass_send(int sock, const void *data, size_t len, int fd)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg;
	long n;

	if (fd >= 0) {
		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
	}
	n = ct_sys3(SYS_sendmsg, sock, &msg, MSG_NOSIGNAL);
	return n < 0 ? (int)n : 0;
}
