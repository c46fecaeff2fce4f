/* SPDX-License-Identifier: MIT */
/*
 * Waiting: one epoll over the HELLO socket, the pidfds and the control socket.
 *
 * A HELLO is read here, where a slow or silent peer costs nobody anything: a
 * connection that says nothing within HELLO's own time limit is dropped, and so
 * is the oldest when there are too many (anybody on this machine may connect).
 * Invariant: nothing here touches a process, a slot or the store.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/futex.h"
#include "channel/ask.h"
#include "recorder/io.h"

/* Connections that have yet to say HELLO. */
#define PEERS_MAX 256

/* What an epoll event is of, in the upper half of its data. */
enum source {
	SRC_LISTEN = 1,
	SRC_CONTROL,
	SRC_WAKE,
	SRC_PEER, /* low half: fd */
	SRC_PID,  /* low half: process id */
	SRC_UFFD, /* low half: fd of a peer that sends its userfaultfd */
};

struct peer {
	int fd;
	u64 deadline_ns;
	u32 id; /* process; in `late` only */
};

struct ct_io {
	struct ct_segment *seg;
	int epoll_fd, listen_fd, control_fd, wake_fd;
	bool listens; /* at a path: no token */
	char token[CT_TOKEN_LEN];
	pthread_t thread;
	_Atomic u32 stop;
	pthread_mutex_t lock;
	struct ct_inbox_item *head, **tail;
	struct peer peers[PEERS_MAX]; /* oldest first; the thread's own */
	u32 nr_peers;
	struct peer late[PEERS_MAX]; /* of those welcomed, whose userfaultfd is on its way */
	_Atomic u32 nr_late;	     /* both under the lock */
};

static u64 pack(enum source src, u32 low)
{
	return (u64)src << 32 | low;
}

static int watch(struct ct_io *io, int fd, enum source src, u32 low)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = pack(src, low) };

	if (src == SRC_PID)
		ev.events |= EPOLLONESHOT;
	return epoll_ctl(io->epoll_fd, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

int ct_io_watch(struct ct_io *io, int pidfd, u32 id)
{
	return watch(io, pidfd, SRC_PID, id);
}

void ct_io_release(struct ct_io *io, int pidfd)
{
	epoll_ctl(io->epoll_fd, EPOLL_CTL_DEL, pidfd, NULL);
}

void ct_io_unwatch(struct ct_io *io, int pidfd)
{
	ct_io_release(io, pidfd);
	close(pidfd);
}

static void post(struct ct_io *io, struct ct_inbox_item item)
{
	struct ct_inbox_item *copy = malloc(sizeof(*copy));

	if (!copy) {
		if (item.fd > 0)
			close(item.fd);
		return;
	}
	*copy = item;
	copy->next = NULL;
	copy->t_ns = ct_now_ns();
	pthread_mutex_lock(&io->lock);
	*io->tail = copy;
	io->tail = &copy->next;
	pthread_mutex_unlock(&io->lock);
	ct_bell_ring(io->seg);
}

struct ct_inbox_item *ct_io_take(struct ct_io *io)
{
	struct ct_inbox_item *items;

	pthread_mutex_lock(&io->lock);
	items = io->head;
	io->head = NULL;
	io->tail = &io->head;
	pthread_mutex_unlock(&io->lock);
	return items;
}

/* Forgets the peer with this fd, which stays open; false: there is none. */
static bool forget_peer(struct ct_io *io, int fd)
{
	u32 i;

	for (i = 0; i < io->nr_peers; i++) {
		if (io->peers[i].fd != fd)
			continue;
		epoll_ctl(io->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
		io->nr_peers--;
		memmove(&io->peers[i], &io->peers[i + 1],
			(io->nr_peers - i) * sizeof(io->peers[0]));
		return true;
	}
	return false;
}

static void drop_oldest(struct ct_io *io)
{
	int fd = io->peers[0].fd;

	forget_peer(io, fd);
	close(fd);
}

static void drop_silent(struct ct_io *io, u64 now)
{
	while (io->nr_peers && io->peers[0].deadline_ns <= now)
		drop_oldest(io);
}

static void accept_peer(struct ct_io *io)
{
	int fd = accept4(io->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
		/* It stays in the queue: make room, or at least do not spin. */
		if (io->nr_peers)
			drop_oldest(io);
		else
			poll(NULL, 0, 10);
		return;
	}
	if (fd < 0)
		return;
	if (io->nr_peers == PEERS_MAX)
		drop_oldest(io);
	if (watch(io, fd, SRC_PEER, (u32)fd)) {
		close(fd);
		return;
	}
	io->peers[io->nr_peers++] =
		(struct peer){ fd, ct_now_ns() + CT_HELLO_TIMEOUT_MS * CT_NSEC_PER_MSEC };
}

static bool hello_is_good(const struct ct_io *io, const struct ct_inbox_item *item, ssize_t len)
{
	return len == sizeof(item->hello) && item->hello.magic == CT_HELLO_MAGIC &&
	       item->hello.version == CT_SEG_VERSION &&
	       (io->listens || !memcmp(item->hello.token, io->token, CT_TOKEN_LEN));
}

static void read_hello(struct ct_io *io, int fd)
{
	struct ct_inbox_item item = { .type = CT_IN_HELLO, .fd = fd };
	struct ucred cred = { 0 };
	socklen_t len = sizeof(cred);
	ssize_t n;

	/* Dropped since the event was made, and the number may be another file's by now. */
	if (!forget_peer(io, fd))
		return;
	n = recv(fd, &item.hello, sizeof(item.hello), MSG_DONTWAIT);
	if (!hello_is_good(io, &item, n) || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) ||
	    cred.pid <= 0) {
		close(fd);
		return;
	}
	item.pid = cred.pid;
	post(io, item);
}

void ct_io_expect_uffd(struct ct_io *io, int fd, u32 id)
{
	bool kept = false;

	pthread_mutex_lock(&io->lock);
	if (io->nr_late < PEERS_MAX && !watch(io, fd, SRC_UFFD, (u32)fd)) {
		io->late[io->nr_late++] =
			(struct peer){ fd, ct_now_ns() + CT_HELLO_TIMEOUT_MS * CT_NSEC_PER_MSEC,
				       id };
		kept = true;
	}
	pthread_mutex_unlock(&io->lock);
	if (!kept)
		close(fd);
}

/* Takes the late peer with this fd out, or the first whose time is over (fd -1). */
static bool take_late(struct ct_io *io, int fd, u64 now, struct peer *ret)
{
	bool found = false;
	u32 i;

	pthread_mutex_lock(&io->lock);
	for (i = 0; i < io->nr_late && !found; i++) {
		if (fd < 0 ? io->late[i].deadline_ns > now : io->late[i].fd != fd)
			continue;
		*ret = io->late[i];
		io->late[i] = io->late[--io->nr_late];
		found = true;
	}
	pthread_mutex_unlock(&io->lock);
	if (found)
		epoll_ctl(io->epoll_fd, EPOLL_CTL_DEL, ret->fd, NULL);
	return found;
}

/* The message and the descriptor beside it; *ret_fd -1: none. */
static ssize_t receive_uffd(int sock, struct ct_uffd_msg *ret, int *ret_fd)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { ret, sizeof(*ret) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.buf,
			      .msg_controllen = sizeof(control.buf) };
	ssize_t n = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *cm = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;

	*ret_fd = -1;
	if (cm && cm->cmsg_level == SOL_SOCKET && cm->cmsg_type == SCM_RIGHTS &&
	    cm->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(ret_fd, CMSG_DATA(cm), sizeof(int));
	return n;
}

static void read_uffd(struct ct_io *io, int fd)
{
	struct ct_inbox_item item = { .type = CT_IN_UFFD, .fd = -1 };
	struct peer peer;

	if (!take_late(io, fd, 0, &peer))
		return;
	item.id = peer.id;
	if (receive_uffd(fd, &item.uffd, &item.fd) != sizeof(item.uffd) ||
	    item.uffd.magic != CT_UFFD_MAGIC)
		item.uffd = (struct ct_uffd_msg){ .status = -EPROTO };
	close(fd);
	post(io, item);
}

static void drop_late(struct ct_io *io, u64 now)
{
	struct ct_inbox_item item = { .type = CT_IN_UFFD, .fd = -1, .uffd.status = -ETIMEDOUT };
	struct peer peer;

	while (take_late(io, -1, now, &peer)) {
		close(peer.fd);
		item.id = peer.id;
		post(io, item);
	}
}

static void read_control(struct ct_io *io)
{
	char what = 0;
	ssize_t n = recv(io->control_fd, &what, 1, MSG_DONTWAIT);

	if (n == 1 && what == CT_CTL_STOP) {
		post(io, (struct ct_inbox_item){ .type = CT_IN_STOP });
	} else if (n == 1 && what == CT_CTL_NEXT_FILE) {
		post(io, (struct ct_inbox_item){ .type = CT_IN_NEXT_FILE });
	} else if (n == 1) {
		post(io, (struct ct_inbox_item){ .type = CT_IN_COMMAND_ENDED });
	} else if (n == 0) {
		/* The supervisor has gone: go on until the programs have, if they are its. */
		epoll_ctl(io->epoll_fd, EPOLL_CTL_DEL, io->control_fd, NULL);
		post(io, (struct ct_inbox_item){ .type = io->listens ? CT_IN_STOP
								     : CT_IN_COMMAND_ENDED });
	}
}

static void *io_thread(void *arg)
{
	struct ct_io *io = arg;
	struct epoll_event ev[64];
	int i, n;

	while (!io->stop) {
		/* A silent peer is let go a little late: nobody waits for that. */
		n = epoll_wait(io->epoll_fd, ev, ct_array_size(ev),
			       io->nr_peers || io->nr_late ? CT_HELLO_TIMEOUT_MS / 4 : -1);
		for (i = 0; i < n; i++) {
			u32 low = (u32)ev[i].data.u64;

			switch ((enum source)(ev[i].data.u64 >> 32)) {
			case SRC_LISTEN:
				accept_peer(io);
				break;
			case SRC_PEER:
				read_hello(io, (int)low);
				break;
			case SRC_UFFD:
				read_uffd(io, (int)low);
				break;
			case SRC_CONTROL:
				read_control(io);
				break;
			case SRC_PID:
				post(io, (struct ct_inbox_item){ .type = CT_IN_GONE, .id = low });
				break;
			case SRC_WAKE:
				break;
			}
		}
		if (io->nr_peers)
			drop_silent(io, ct_now_ns());
		if (io->nr_late)
			drop_late(io, ct_now_ns());
	}
	return NULL;
}

int ct_io_create(struct ct_segment *seg, int listen_fd, int control_fd, const char *token,
		 struct ct_io **ret)
{
	struct ct_io *io = calloc(1, sizeof(*io));
	int err = -ENOMEM;

	if (!io)
		return -ENOMEM;
	io->seg = seg;
	io->listen_fd = listen_fd;
	io->control_fd = control_fd;
	io->tail = &io->head;
	io->listens = !token;
	if (token)
		memcpy(io->token, token, CT_TOKEN_LEN);
	pthread_mutex_init(&io->lock, NULL);
	io->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	io->wake_fd = eventfd(0, EFD_CLOEXEC);
	if (io->epoll_fd < 0 || io->wake_fd < 0)
		goto fail;
	err = watch(io, listen_fd, SRC_LISTEN, 0);
	if (!err)
		err = watch(io, control_fd, SRC_CONTROL, 0);
	if (!err)
		err = watch(io, io->wake_fd, SRC_WAKE, 0);
	if (!err)
		err = -pthread_create(&io->thread, NULL, io_thread, io);
	if (err)
		goto fail;
	*ret = io;
	return 0;
fail:
	if (io->epoll_fd >= 0)
		close(io->epoll_fd);
	if (io->wake_fd >= 0)
		close(io->wake_fd);
	free(io);
	return err;
}

void ct_io_destroy(struct ct_io *io)
{
	struct ct_inbox_item *i, *next;
	u64 one = 1;

	if (!io)
		return;
	io->stop = 1;
	if (write(io->wake_fd, &one, sizeof(one)) == sizeof(one))
		pthread_join(io->thread, NULL);
	while (io->nr_peers)
		drop_oldest(io);
	for (i = ct_io_take(io); i; i = next) {
		next = i->next;
		if (i->fd > 0)
			close(i->fd);
		free(i);
	}
	drop_late(io, UINT64_MAX);
	close(io->epoll_fd);
	close(io->wake_fd);
	pthread_mutex_destroy(&io->lock);
	free(io);
}
