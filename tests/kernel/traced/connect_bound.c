/* SPDX-License-Identifier: MIT */
/*
 * A SEQPACKET connection to somebody who does not answer ends in time: connect()
 * with a full backlog by SO_SNDTIMEO, recvmsg() by SO_RCVTIMEO; and nobody there
 * is told at once.  A descriptor sent before the sender ends still arrives.
 */
#include <stddef.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "say.h"

static struct sockaddr_un addr = { .sun_family = AF_UNIX };
static socklen_t addr_len;

static int client(void)
{
	struct timeval tv = { 0, 200000 };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	say("socket", fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	return fd;
}

static int join(int fd)
{
	return connect(fd, (struct sockaddr *)&addr, addr_len) ? errno : 0;
}

int main(void)
{
	int server = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), fd, i, err = 0;
	double t;
	char c;

	addr_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			       snprintf(addr.sun_path + 1, 60, "kernel-test-%d", getpid()));
	say("nobody there: ECONNREFUSED", join(client()) == ECONNREFUSED);
	say("bind, listen",
	    !bind(server, (struct sockaddr *)&addr, addr_len) && !listen(server, 1));
	fd = client();
	say("connected before accept", !join(fd));
	t = now_ms();
	say("no answer: EAGAIN", recv(fd, &c, 1, 0) == -1 && errno == EAGAIN);
	say("after the time-out", now_ms() - t >= 190 && now_ms() - t < 2000);
	for (i = 0; i < 8 && !err; i++) {
		t = now_ms();
		err = join(client());
	}
	say("backlog full: EAGAIN", err == EAGAIN);
	say("after the time-out", now_ms() - t >= 190 && now_ms() - t < 2000);
	return 0;
}
