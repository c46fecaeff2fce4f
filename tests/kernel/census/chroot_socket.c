/* SPDX-License-Identifier: MIT */
/*
 * An abstract unix socket is reached from another root directory and by another
 * user, where a path is not; not from another network namespace.
 */
#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lab.h"

static struct sockaddr_un addr = { .sun_family = AF_UNIX };
static socklen_t addr_len;

static int reach(void)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int err = connect(fd, (struct sockaddr *)&addr, addr_len) < 0 ? errno : 0;

	close(fd);
	return err;
}

static int reach_after(int (*change)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		errno = 0;
		_exit(change() < 0 ? 255 : reach());
	}
	waitpid(pid, &status, 0);
	return WEXITSTATUS(status);
}

static int nothing(void)
{
	return 0;
}

static char root[] = "/tmp/lab-root-XXXXXX";

static int change_root(void)
{
	return chroot(root) < 0 || chdir("/") < 0 ? -1 : 0;
}

static int change_user(void)
{
	return setgid(65534) < 0 || setuid(65534) < 0 ? -1 : 0;
}

static int change_net(void)
{
	return unshare(CLONE_NEWNET);
}

int main(void)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), err;

	if (geteuid() != 0)
		lab_skip("chroot needs root");
	addr_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			       (size_t)snprintf(addr.sun_path + 1, sizeof(addr.sun_path) - 1,
						"lab-%d", (int)getpid()));
	if (bind(fd, (struct sockaddr *)&addr, addr_len) < 0 || listen(fd, 16) < 0)
		lab_die("abstract socket");
	if (!mkdtemp(root))
		lab_die("a directory in /tmp");
	check(reach_after(nothing) == 0, "not reached at all");
	err = reach_after(change_root);
	check(err == 0, "from another root: %s", strerror(err));
	err = reach_after(change_user);
	check(err == 0, "as another user: %s", strerror(err));
	err = reach_after(change_net);
	if (err == 255)
		printf("no network namespaces here\n");
	else
		check(err == ECONNREFUSED, "from another network namespace: %s", strerror(err));
	rmdir(root);
	return lab_result();
}
