/* SPDX-License-Identifier: MIT */
/*
 * UFFD_USER_MODE_ONLY needs no privilege, whatever vm.unprivileged_userfaultfd says.
 * A system call that writes to a protected page then fails with EFAULT, or comes back
 * short, and has not touched the page; reading from one works.  With SIGBUS it is so
 * for everybody, and no signal is raised for the system call.
 */
#include "uf.h"

#include <sys/prctl.h>

static volatile unsigned int nr;

static void on_bus(int sig)
{
	nr++;
}

static void try_calls(int fd, char *p, const char *what)
{
	int pipes[2];
	char text[2 * PAGE];
	ssize_t n;

	memset(p, 7, 4 * PAGE);
	memset(text, 1, sizeof(text));
	check(!pipe(pipes) && !uf_protect(fd, p, 4 * PAGE, true), "protect");
	check(write(pipes[1], p, 100) == 100, "%s: a system call cannot read", what);
	check(read(pipes[0], text, 100) == 100 && text[99] == 7, "%s: read back", what);
	check(write(pipes[1], text, 100) == 100, "write");
	n = read(pipes[0], p, 100);
	check(n < 0 && errno == EFAULT, "%s: read into a protected page: %zd", what, n);
	check(p[0] == 7 && p[99] == 7, "%s: it was written", what);
	/* Half of it writable. */
	check(!uf_protect(fd, p, PAGE, false), "release");
	check(write(pipes[1], text, 200) == 200, "write");
	n = read(pipes[0], p + PAGE - 50, 100);
	check(n == 50 || (n < 0 && errno == EFAULT), "%s: half writable: %zd", what, n);
	check(p[PAGE] == 7, "%s: the protected half was written", what);
	check(nr == 0, "%s: a signal for a system call", what);
	close(pipes[0]);
	close(pipes[1]);
}

int main(void)
{
	char *p = uf_map(4 * PAGE, PROT_READ | PROT_WRITE);
	int fd;

	signal(SIGBUS, on_bus);
	if (getuid() == 0 && (setgid(65534) || setuid(65534)))
		skip("cannot become an ordinary user");
	fd = uf_open(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	if (fd < 0)
		skip("userfaultfd is forbidden or absent");
	check(!uf_register(fd, p, 4 * PAGE, UFFDIO_REGISTER_MODE_WP), "register");
	try_calls(fd, p, "user mode");
	close(fd);
	fd = uf_sigbus(p, 4 * PAGE);
	try_calls(fd, p, "SIGBUS");
	return 0;
}
