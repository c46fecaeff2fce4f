/* SPDX-License-Identifier: MIT */
/*
 * Descriptors of page-fault events, as they come in: a connection each, one message,
 * closed.  (A datagram would be simpler; but the kernel lets ten wait, and programs
 * that fork at once would wait for each other.)
 *
 * It knows nothing of processes.  Invariant: a message without the recording's token
 * leads to nothing, and a connection that says nothing is closed in time.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "recorder/perf_events.h"

#define SILENCE_NS CT_NSEC_PER_SEC

int ct_perf_events_open(struct ct_perf_events *e, struct ct_segment *seg)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	u32 random;
	int len, err;

	e->nr = 0;
	e->fd = -1;
	if (getrandom(e->token, sizeof(e->token), 0) != sizeof(e->token) ||
	    getrandom(&random, sizeof(random), 0) != sizeof(random))
		return -errno;
	len = snprintf(seg->perf.name, sizeof(seg->perf.name), "cowtrace-events-%d-%08x", getpid(),
		       random);
	memcpy(seg->perf.token, e->token, sizeof(e->token));
	memcpy(sun.sun_path + 1, seg->perf.name, (size_t)len);
	e->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (e->fd >= 0 &&
	    !bind(e->fd, (struct sockaddr *)&sun,
		  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len)) &&
	    !listen(e->fd, 4096))
		return 0;
	err = -errno;
	ct_perf_events_close(e);
	return err;
}

void ct_perf_events_close(struct ct_perf_events *e)
{
	while (e->nr)
		close(e->v[--e->nr].fd);
	if (e->fd >= 0)
		close(e->fd);
	e->fd = -1;
}

/* 1: a message; 0: not yet; -1: there will be none. */
static int receive(int sock, struct ct_perf_sent *ret)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = &ret->msg, .iov_len = sizeof(ret->msg) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.buf,
			      .msg_controllen = sizeof(control.buf) };
	ssize_t n = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *cm;

	ret->fd = -1;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	cm = CMSG_FIRSTHDR(&msg);
	if (cm && cm->cmsg_level == SOL_SOCKET && cm->cmsg_type == SCM_RIGHTS)
		memcpy(&ret->fd, CMSG_DATA(cm), sizeof(int));
	return n == sizeof(ret->msg) ? 1 : -1;
}

static bool is_valid(const struct ct_perf_events *e, const struct ct_perf_sent *s)
{
	return s->msg.magic == CT_PERF_MAGIC && s->msg.slot < CT_SEG_SLOTS &&
	       !memcmp(s->msg.token, e->token, sizeof(e->token));
}

static void accept_some(struct ct_perf_events *e, u64 now)
{
	int fd;

	while (e->nr < CT_PERF_CONNECTIONS &&
	       (fd = accept4(e->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		e->v[e->nr].fd = fd;
		e->v[e->nr++].t_ns = now;
	}
}

bool ct_perf_events_next(struct ct_perf_events *e, u64 now, struct ct_perf_sent *ret)
{
	u32 i = 0;
	int got;

	accept_some(e, now);
	while (i < e->nr) {
		got = receive(e->v[i].fd, ret);
		if (!got && now - e->v[i].t_ns < SILENCE_NS) {
			i++;
			continue;
		}
		close(e->v[i].fd);
		e->v[i] = e->v[--e->nr];
		ret->t_ns = now;
		if (got > 0 && is_valid(e, ret))
			return true;
		if (ret->fd >= 0)
			close(ret->fd);
		accept_some(e, now);
	}
	return false;
}
