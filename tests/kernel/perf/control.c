/* SPDX-License-Identifier: MIT */
/*
 * The event obeys its descriptor wherever that is: another process to which it was
 * sent switches it on and off, and when the last descriptor has gone, by close or
 * because its holder was killed, there is no event any more.  The program's own
 * descriptor may be closed long before.
 */
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "trap.h"

enum { ENABLE = 'e', DISABLE = 'd', CLOSE = 'c' };

static int receive(int sock)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	int fd;

	if (recvmsg(sock, &msg, 0) != 1 || !CMSG_FIRSTHDR(&msg))
		lab_die("recvmsg");
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

static void give(int sock, int fd)
{
	char byte = 0, control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *cm = CMSG_FIRSTHDR(&msg);

	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cm), &fd, sizeof(fd));
	if (sendmsg(sock, &msg, 0) != 1)
		lab_die("sendmsg");
	close(fd);
}

static void holder(int sock)
{
	int fd = receive(sock);
	char c;

	while (read(sock, &c, 1) == 1) {
		if (c == ENABLE)
			trap_enable(fd);
		else if (c == DISABLE)
			trap_disable(fd);
		else
			close(fd);
		if (write(sock, &c, 1) != 1)
			break;
	}
	_exit(0);
}

static pid_t start(int *ret_sock)
{
	int sv[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sv))
		lab_die("socketpair");
	pid = fork();
	if (pid == 0) {
		close(sv[0]);
		holder(sv[1]);
	}
	close(sv[1]);
	*ret_sock = sv[0];
	give(sv[0], trap_open((struct trap_opts){ .disabled = true }));
	return pid;
}

static void tell(int sock, char what)
{
	char c = what;

	if (write(sock, &c, 1) != 1 || read(sock, &c, 1) != 1)
		lab_die("the holder has gone");
}

int main(void)
{
	char *page = lab_map(64);
	int sock, at = 0;
	pid_t pid;

	trap_init(page, 64);
	pid = start(&sock);
	check(!trap_store(page + PAGE * (size_t)at++), "signals of a disabled event");
	for (int i = 0; i < 10; i++) {
		tell(sock, ENABLE);
		check(trap_store(page + PAGE * (size_t)at++) == 1, "not enabled from elsewhere");
		tell(sock, DISABLE);
		check(!trap_store(page + PAGE * (size_t)at++), "not disabled from elsewhere");
	}
	tell(sock, ENABLE);
	tell(sock, CLOSE);
	check(!trap_store(page + PAGE * (size_t)at++), "signals after the last close");
	close(sock);
	waitpid(pid, NULL, 0);

	pid = start(&sock);
	tell(sock, ENABLE);
	check(trap_store(page + PAGE * (size_t)at++) == 1, "not enabled");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	check(!trap_store(page + PAGE * (size_t)at++), "signals after the holder was killed");
	return lab_result();
}
