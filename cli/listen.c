/* SPDX-License-Identifier: MIT */
/*
 * A recorder's place in the file system: a socket at a path, whose permissions say
 * which programs may come.  It accepts nobody and reads nothing.
 *
 * Invariant: a socket on which somebody answers, and what is no socket, is never
 * replaced and never removed.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"
#include "exit.h"
#include "listen.h"

#define BACKLOG 1024
/* Another recorder that starts at this moment is done sooner. */
#define LOCK_TRIES 200
#define LOCK_PAUSE_NS (10 * CT_NSEC_PER_MSEC)

static int cannot(const char *path, const char *why, struct ct_err *err)
{
	return ct_err_set(err, CT_EXIT_RECORD_LISTEN, "cannot listen at %s: %s", path, why);
}

static int set_address(const char *path, struct sockaddr_un *sun, struct ct_err *err)
{
	if (path[0] != '/')
		return ct_err_set(err, CT_EXIT_RECORD_LISTEN,
				  "cannot listen at %s: give a path that begins with /, because "
				  "programs start in folders of their own",
				  path);
	if (strlen(path) >= sizeof(sun->sun_path))
		return ct_err_set(err, CT_EXIT_RECORD_LISTEN,
				  "cannot listen at %s: a socket's path has %zu bytes at most, "
				  "choose a shorter one",
				  path, sizeof(sun->sun_path) - 1);
	memset(sun, 0, sizeof(*sun));
	sun->sun_family = AF_UNIX;
	strcpy(sun->sun_path, path);
	return 0;
}

/*
 * Looking and taking must be one: of two recorders that start at once the second
 * would remove the first one's socket.  The folder's own lock, so that no file of
 * ours is left in it; where it cannot be had (somebody else holds it, for whatever
 * reason of his) it is done without.
 */
static int lock_folder(const char *path, struct ct_err *err)
{
	const struct timespec pause = { .tv_nsec = LOCK_PAUSE_NS };
	ct_auto_free char *copy = strdup(path);
	const char *dir = copy ? dirname(copy) : "/";
	int i, fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char why[200];

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
		snprintf(why, sizeof(why), "there is no folder %s, create it first", dir);
		cannot(path, why, err);
		return -1;
	}
	if (fd < 0) {
		cannot(path, strerror(errno), err);
		return -1;
	}
	for (i = 0; i < LOCK_TRIES && flock(fd, LOCK_EX | LOCK_NB); i++)
		nanosleep(&pause, NULL);
	return fd;
}

/* Does anybody answer there? */
static bool is_answered(const struct sockaddr_un *sun)
{
	ct_auto_fd int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	/* EAGAIN: so many at once that its queue is full.  EPROTOTYPE: not one of ours. */
	return fd >= 0 && (!connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) ||
			   errno == EAGAIN || errno == EPROTOTYPE || errno == EACCES);
}

static int clear_path(const struct sockaddr_un *sun, struct ct_err *err)
{
	const char *path = sun->sun_path;
	struct stat st;

	if (lstat(path, &st))
		return errno == ENOENT ? 0 : cannot(path, strerror(errno), err);
	if (!S_ISSOCK(st.st_mode))
		return cannot(path, "there is a file that is no socket: choose another path", err);
	if (is_answered(sun))
		return cannot(path,
			      "somebody answers there, another recorder it seems: end that, or "
			      "choose another path",
			      err);
	return unlink(path) ? cannot(path, strerror(errno), err) : 0;
}

/* Nobody can come before listen(): by then the permissions are what they are to be. */
static int take_path(struct ct_listen *l, const struct sockaddr_un *sun, gid_t gid)
{
	const mode_t old = umask(0177);
	int ret = bind(l->fd, (const struct sockaddr *)sun, sizeof(*sun)) ? errno : 0;
	struct stat st;

	umask(old);
	if (ret)
		return ret;
	if (gid != (gid_t)-1 &&
	    (lchown(sun->sun_path, (uid_t)-1, gid) || chmod(sun->sun_path, 0660)))
		ret = errno;
	if (!ret && (lstat(sun->sun_path, &st) || listen(l->fd, BACKLOG)))
		ret = errno;
	if (ret) {
		unlink(sun->sun_path);
		return ret;
	}
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	return 0;
}

int ct_listen_open(struct ct_listen *l, const char *path, gid_t gid, struct ct_err *err)
{
	ct_auto_fd int lock = -1;
	struct sockaddr_un sun;
	int status = set_address(path, &sun, err);

	if (status)
		return status;
	lock = lock_folder(path, err);
	if (lock < 0)
		return CT_EXIT_RECORD_LISTEN;
	status = clear_path(&sun, err);
	if (status)
		return status;
	l->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd < 0)
		return cannot(path, strerror(errno), err);
	status = take_path(l, &sun, gid);
	if (status) {
		close(l->fd);
		return cannot(path, strerror(status), err);
	}
	snprintf(l->path, sizeof(l->path), "%s", path);
	return 0;
}

void ct_listen_remove(const struct ct_listen *l)
{
	struct stat st;

	if (l->path[0] && !lstat(l->path, &st) && st.st_dev == l->dev && st.st_ino == l->ino)
		unlink(l->path);
}
