/* SPDX-License-Identifier: MIT */
/*
 * What a service of Type=notify tells its manager.  A datagram to the socket that
 * the environment names: that is the whole protocol, and not worth a library.
 *
 * Invariant: the manager is never waited for.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "notify.h"

static int connect_to(const char *name)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	const size_t len = strlen(name);
	int fd;

	if ((name[0] != '/' && name[0] != '@') || len >= sizeof(sun.sun_path))
		return -1;
	memcpy(sun.sun_path, name, len);
	if (name[0] == '@')
		sun.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&sun,
			       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static u64 number_of(const char *name)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : 0;
}

void ct_notify_init(struct ct_notify *n)
{
	const char *name = getenv("NOTIFY_SOCKET");
	const u64 pid = number_of("WATCHDOG_PID");

	*n = (struct ct_notify){ .fd = name ? connect_to(name) : -1 };
	if (n->fd >= 0 && (!pid || pid == (u64)getpid()))
		n->watchdog_ns = number_of("WATCHDOG_USEC") * 1000;
}

void ct_notify_say(const struct ct_notify *n, const char *text)
{
	if (n->fd >= 0)
		(void)!send(n->fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void ct_notify_alive(struct ct_notify *n, u64 now_ns)
{
	if (!n->watchdog_ns || now_ns < n->next_ns)
		return;
	ct_notify_say(n, "WATCHDOG=1");
	/* Twice in its time and more, so that one late look is not our death. */
	n->next_ns = now_ns + n->watchdog_ns / 3;
}
