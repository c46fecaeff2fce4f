/* SPDX-License-Identifier: MIT */
/*
 * The one exchange over a socket: HELLO, and the segment's memfd comes back.
 *
 * Raw system calls only: this runs before libc's own constructor, and errno is
 * the program's.  Every wait has the socket's time-out, and all of them
 * together end with the deadline.
 *
 * Invariant: whatever happens, no descriptor and no mapping is left behind but
 * the segment of a HELLO that succeeded.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "base/futex.h"
#include "channel/filters.h"
#include "traced/altstack.h"
#include "traced/attach.h"
#include "traced/uffd.h"

static void raw_close(int fd)
{
	if (fd >= 0)
		ct_sys1(SYS_close, fd);
}

/*
 * The parts of the address: name (not ended), token, and the recorder's number of
 * filters, where there is one.
 */
static int split_address(const char *address, size_t *ret_name_len, const char **ret_token,
			 u32 *ret_filters)
{
	const char *colon = strchr(address, ':'), *at;
	u32 filters = 0;

	if (!colon || strlen(colon + 1) < CT_TOKEN_LEN)
		return -EINVAL;
	at = colon + 1 + CT_TOKEN_LEN;
	if (*at == ':')
		for (at++; *at >= '0' && *at <= '9'; at++)
			filters = filters * 10 + (u32)(*at - '0');
	if (*at)
		return -EINVAL;
	*ret_name_len = (size_t)(colon - address);
	*ret_token = colon + 1;
	*ret_filters = filters;
	return 0;
}

/* Whether there is anything at a path: what the loader does too, and 1 us. */
static int look_at(const char *path)
{
	int fd = (int)ct_sys4(SYS_openat, AT_FDCWD, path, O_PATH | O_CLOEXEC, 0);

	raw_close(fd);
	return fd < 0 ? fd : 0;
}

/* A recorder that listens at a path, and maybe is not there. */
static int parse_path(const char *address, struct sockaddr_un *sun, socklen_t *len)
{
	const size_t any_len = sizeof(CT_ENV_ANY_FILTERS) - 1;
	size_t path_len = strlen(address);
	const bool any = path_len > any_len &&
			 !memcmp(address + path_len - any_len, CT_ENV_ANY_FILTERS, any_len);
	int ret;

	if (any)
		path_len -= any_len;
	if (path_len >= sizeof(sun->sun_path))
		return -ENAMETOOLONG;
	memset(sun, 0, sizeof(*sun));
	sun->sun_family = AF_UNIX;
	memcpy(sun->sun_path, address, path_len);
	*len = sizeof(*sun);
	ret = look_at(sun->sun_path);
	if (ret)
		return ret;
	return any || !ct_filters_count() ? 0 : -EPERM;
}

static int parse_address(const char *address, struct sockaddr_un *sun, socklen_t *len,
			 struct ct_hello *hello)
{
	const char *token;
	size_t name_len;
	u32 filters;

	if (address[0] == '/')
		return parse_path(address, sun, len);
	if (split_address(address, &name_len, &token, &filters))
		return -EINVAL;
	if (!name_len || name_len > sizeof(sun->sun_path) - 1)
		return -EINVAL;
	if (filters != ct_filters_count())
		return -EPERM;
	memset(sun, 0, sizeof(*sun));
	sun->sun_family = AF_UNIX;
	memcpy(sun->sun_path + 1, address, name_len);
	*len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + name_len);
	memcpy(hello->token, token, CT_TOKEN_LEN);
	return 0;
}

static int open_socket(const struct sockaddr_un *sun, socklen_t len)
{
	/* SO_SNDTIMEO also bounds connect() where the recorder's backlog is full. */
	const struct timeval tv = { .tv_sec = CT_HELLO_TIMEOUT_MS / 1000,
				    .tv_usec = CT_HELLO_TIMEOUT_MS % 1000 * 1000 };
	int fd = (int)ct_sys3(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	long ret;

	if (fd < 0)
		return fd;
	ct_sys5(SYS_setsockopt, fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	ct_sys5(SYS_setsockopt, fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	ret = ct_sys3(SYS_connect, fd, sun, len);
	if (ret) {
		raw_close(fd);
		return (int)ret;
	}
	return fd;
}

/*
 * At a path anybody may have put a socket of his own: what he sends would be our
 * memory.  The credentials are those of the listen().
 */
static int check_listener(int fd, const struct sockaddr_un *sun)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	long ret;

	if (!sun->sun_path[0])
		return 0;
	ret = ct_sys5(SYS_getsockopt, fd, SOL_SOCKET, SO_PEERCRED, &cred, &len);
	if (ret)
		return (int)ret;
	return !cred.uid || cred.uid == (uid_t)ct_sys0(SYS_geteuid) ? 0 : -EPERM;
}

/* Receives the welcome; ret_fds: the descriptors beside it, or -1. */
static int receive(int sock, struct ct_welcome *ret, int ret_fds[2])
{
	union {
		char buf[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = ret, .iov_len = sizeof(*ret) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.buf,
			      .msg_controllen = sizeof(control.buf) };
	const u64 until = ct_now_ns() + CT_HELLO_TIMEOUT_MS * CT_NSEC_PER_MSEC;
	struct cmsghdr *cmsg;
	long n;

	do
		n = ct_sys3(SYS_recvmsg, sock, &msg, MSG_CMSG_CLOEXEC);
	while (n == -EINTR && ct_now_ns() < until);
	if (n < 0)
		return (int)n;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (cmsg && cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS)
		memcpy(ret_fds, CMSG_DATA(cmsg),
		       ct_min(cmsg->cmsg_len - CMSG_LEN(0), 2 * sizeof(int)));
	return n == sizeof(*ret) ? 0 : -EPROTO;
}

static int map_segment(int memfd, u64 size, struct ct_segment **ret)
{
	struct ct_segment *seg;
	long at;

	if (size < sizeof(*seg))
		return -EPROTO;
	at = ct_sys6(SYS_mmap, 0, (long)size, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	if (at < 0 && at > -4096)
		return (int)at;
	seg = (struct ct_segment *)at;
	if (seg->magic != CT_SEG_MAGIC || seg->version != CT_SEG_VERSION || seg->size != size) {
		ct_sys2(SYS_munmap, seg, size);
		return -EPROTO;
	}
	*ret = seg;
	return 0;
}

/* Welcomed: the segment, and what its engine wants of us. */
static int accept_welcome(int sock, const struct ct_welcome *welcome, const int fds[2],
			  struct ct_shim *shim, struct ct_segment **ret_seg)
{
	struct ct_segment *seg;
	u64 own[2];
	int ret;

	if (welcome->status)
		return welcome->status;
	if (fds[0] < 0 || welcome->slot >= CT_SEG_SLOTS)
		return -EPROTO;
	ret = map_segment(fds[0], welcome->seg_size, &seg);
	if (ret)
		return ret;
	*ret_seg = seg;
	if (seg->engine == CT_ENGINE_CENSUS)
		return 0;
	ct_altstack_reserve(shim);
	if (seg->engine != CT_ENGINE_UFFD)
		return 0;
	own[0] = shim->stacks_start;
	own[1] = shim->stacks_end;
	shim->uffd = !ct_uffd_offer(sock, fds[1], own);
	if (!shim->uffd)
		ct_altstack_unreserve(shim);
	return 0;
}

int ct_hello_say(const char *address, struct ct_hello *hello, struct ct_shim *shim,
		 struct ct_segment **ret_seg, u32 *ret_slot)
{
	struct ct_welcome welcome;
	struct sockaddr_un sun;
	socklen_t len;
	int sock, fds[2] = { -1, -1 };
	int ret = parse_address(address, &sun, &len, hello);

	if (ret)
		return ret;
	sock = open_socket(&sun, len);
	if (sock < 0)
		return sock;
	ret = check_listener(sock, &sun);
	if (!ret)
		ret = (int)ct_sys6(SYS_sendto, sock, (long)hello, sizeof(*hello), MSG_NOSIGNAL, 0,
				   0);
	if (ret >= 0)
		ret = receive(sock, &welcome, fds);
	if (!ret)
		ret = accept_welcome(sock, &welcome, fds, shim, ret_seg);
	raw_close(sock);
	raw_close(fds[0]);
	raw_close(fds[1]);
	if (!ret)
		*ret_slot = welcome.slot;
	return ret;
}
