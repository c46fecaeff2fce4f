/* SPDX-License-Identifier: MIT */
/*
 * The command that record starts.
 *
 * What cannot be traced is refused before it runs: a static program never loads
 * the preload, and the kernel makes the loader drop it for a program that
 * changes its user.  Everything else fails in the child, between fork and exec,
 * and is told through a pipe that a successful exec closes.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "channel/hello.h"
#include "exit.h"
#include "launch.h"
#include "sys/elf.h"

#define PRELOAD_NAME "libcowtrace-preload.so"

/* A #! line may name a script; the kernel follows four of them. */
#define MAX_SCRIPTS 4

static int is_program(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EACCES;
	return access(path, X_OK) ? -errno : 0;
}

static int search_path(struct ct_launch *l)
{
	const char *dirs = getenv("PATH"), *name = l->argv[0], *end;
	int worst = -ENOENT, rc;

	if (!dirs || !dirs[0])
		dirs = "/usr/local/bin:/usr/bin:/bin";
	for (;; dirs = end + 1) {
		end = strchrnul(dirs, ':');
		if (snprintf(l->path, sizeof(l->path), "%.*s%s%s", (int)(end - dirs), dirs,
			     end == dirs ? "" : "/", name) < (int)sizeof(l->path)) {
			rc = is_program(l->path);
			if (!rc)
				return 0;
			if (rc == -EACCES)
				worst = rc;
		}
		if (!*end)
			return worst;
	}
}

static bool changes_user(const struct ct_elf_kind *k)
{
	/* root has these rights already: the kernel sees no change for a root program. */
	return (k->setuid || k->setgid || k->file_caps) && geteuid() != 0;
}

static int judge(const char *path, const struct ct_launch *l, struct ct_err *err)
{
	char at[4096];
	struct ct_elf_kind k;
	int i;

	snprintf(at, sizeof(at), "%s", path);
	for (i = 0; i <= MAX_SCRIPTS; i++) {
		if (ct_elf_kind(at, &k))
			return 0; /* cannot be read: the exec will say what is wrong */
		if (changes_user(&k) || (l->user && (k.setuid || k.setgid || k.file_caps)))
			return ct_err_set(
				err, CT_EXIT_RECORD_NOT_EXECUTABLE,
				"%s changes its user when it starts, and the loader then "
				"ignores the preload: record what it starts instead, as root "
				"with `cowtrace record --user NAME -- COMMAND`",
				at);
		if (!k.is_script)
			break;
		snprintf(at, sizeof(at), "%s", k.interpreter);
	}
	if (k.is_elf && k.is_static)
		return ct_err_set(
			err, CT_EXIT_RECORD_NOT_EXECUTABLE,
			"%s is statically linked: nothing can be preloaded into it; link it "
			"dynamically to record it",
			at);
	return 0;
}

int ct_launch_find(struct ct_launch *l, struct ct_err *err)
{
	const char *name = l->argv[0];
	int rc;

	if (strchr(name, '/')) {
		snprintf(l->path, sizeof(l->path), "%s", name);
		rc = is_program(name);
	} else {
		rc = search_path(l);
	}
	if (rc == -ENOENT || rc == -ENOTDIR)
		return ct_err_set(err, CT_EXIT_RECORD_NOT_FOUND,
				  strchr(name, '/')
					  ? "%s: no such file; check the path of the command"
					  : "%s: command not found; check its name and PATH",
				  name);
	if (rc)
		return ct_err_set(err, CT_EXIT_RECORD_NOT_EXECUTABLE,
				  "%s cannot be executed (%s); check its permissions", name,
				  strerror(-rc));
	return judge(l->path, l, err);
}

static bool try_preload(struct ct_launch *l, const char *dir, const char *relative)
{
	char path[sizeof(l->preload)], *real;

	if (snprintf(path, sizeof(path), "%s%s/" PRELOAD_NAME, dir, relative) >= (int)sizeof(path))
		return false;
	real = realpath(path, NULL);
	if (!real)
		return false;
	snprintf(l->preload, sizeof(l->preload), "%s", real);
	free(real);
	return true;
}

int ct_launch_preload(struct ct_launch *l, struct ct_err *err)
{
	char exe[4096];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	char *slash;

	exe[n > 0 ? n : 0] = '\0';
	slash = strrchr(exe, '/');
	if (slash)
		*slash = '\0';
	if (try_preload(l, exe, "/../preload") || try_preload(l, CT_PRELOAD_DIR, "") ||
	    try_preload(l, exe, "/../lib/cowtrace"))
		goto found;
	return ct_err_set(err, CT_EXIT_RECORD_FAILED,
			  PRELOAD_NAME " is neither beside %s nor in " CT_PRELOAD_DIR
				       ": install cowtrace again",
			  exe[0] ? exe : "the cowtrace command");
found:
	/* LD_PRELOAD separates by both, and has no way to quote them. */
	if (strpbrk(l->preload, ": "))
		return ct_err_set(err, CT_EXIT_RECORD_FAILED,
				  "%s: a path with a blank or a colon cannot be preloaded; move "
				  "cowtrace to another folder",
				  l->preload);
	return 0;
}

static void set_environment(const struct ct_launch *l)
{
	const char *old = getenv("LD_PRELOAD");
	char *both = NULL;

	if (old && old[0] && asprintf(&both, "%s:%s", l->preload, old) > 0)
		setenv("LD_PRELOAD", both, 1);
	else
		setenv("LD_PRELOAD", l->preload, 1);
	free(both);
	setenv(CT_ENV_RECORDER, l->address, 1);
}

static void set_user_environment(const struct passwd *pw)
{
	setenv("HOME", pw->pw_dir, 1);
	setenv("USER", pw->pw_name, 1);
	setenv("LOGNAME", pw->pw_name, 1);
}

static int become(const struct passwd *pw)
{
	if (initgroups(pw->pw_name, pw->pw_gid) || setgid(pw->pw_gid) || setuid(pw->pw_uid))
		return -errno;
	set_user_environment(pw);
	return 0;
}

/* In the child: never returns. */
static void run(const struct ct_launch *l, const struct passwd *pw, const sigset_t *mask,
		int pipe_fd)
{
	int err = 0, sig;

	for (sig = 1; sig < NSIG; sig++) {
		struct sigaction sa;

		/* What we ignore was ignored for us too, or is ours to ignore: SIGPIPE. */
		if (!sigaction(sig, NULL, &sa) && sa.sa_handler != SIG_IGN &&
		    sa.sa_handler != SIG_DFL)
			signal(sig, SIG_DFL);
	}
	sigprocmask(SIG_SETMASK, mask, NULL);
	if (pw)
		err = become(pw);
	if (!err) {
		set_environment(l);
		execv(l->path, l->argv);
		err = -errno;
	}
	(void)!write(pipe_fd, &err, sizeof(err));
	_exit(127);
}

static int explain_exec(const struct ct_launch *l, int code, struct ct_err *err)
{
	if (code == -EPERM && l->user)
		return ct_err_set(err, CT_EXIT_RECORD_FAILED,
				  "cannot become user %s (%s): --user needs root", l->user,
				  strerror(-code));
	if (code == -ENOENT)
		return ct_err_set(err, CT_EXIT_RECORD_NOT_FOUND,
				  "%s: its interpreter does not exist; check its first line",
				  l->path);
	return ct_err_set(err, CT_EXIT_RECORD_NOT_EXECUTABLE, "%s cannot be executed (%s)", l->path,
			  strerror(-code));
}

int ct_launch_start(const struct ct_launch *l, const sigset_t *mask, pid_t *ret_pid,
		    struct ct_err *err)
{
	const struct passwd *pw = NULL;
	int fds[2], code = 0;
	ssize_t n;
	pid_t pid;

	if (l->user) {
		pw = getpwnam(l->user);
		if (!pw)
			return ct_err_set(err, CT_EXIT_USAGE, "there is no user %s", l->user);
	}
	if (pipe2(fds, O_CLOEXEC))
		return ct_err_set(err, CT_EXIT_RECORD_FAILED, "pipe: %s", strerror(errno));
	pid = fork();
	if (pid == 0)
		run(l, pw, mask, fds[1]);
	close(fds[1]);
	if (pid < 0) {
		close(fds[0]);
		return ct_err_set(err, CT_EXIT_RECORD_FAILED, "fork: %s", strerror(errno));
	}
	do
		n = read(fds[0], &code, sizeof(code));
	while (n < 0 && errno == EINTR);
	close(fds[0]);
	if (n == sizeof(code)) {
		waitpid(pid, NULL, 0);
		return explain_exec(l, code, err);
	}
	*ret_pid = pid;
	return 0;
}
