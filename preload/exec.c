/* SPDX-License-Identifier: MIT */
/*
 * Wrappers of the exec family.  All of them come down to four functions of libc
 * that take an environment; what lies between is the collection of arguments.
 *
 * They may be called in a vfork child, whose stack and memory are its parent's:
 * arguments go to the stack, or to a mapping where they are many.
 */
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>

#include "preload/preload.h"
#include "traced/exechook.h"

#define ARGS_SMALL 256u

struct args {
	char **argv;
	size_t map_len;
	char *few[ARGS_SMALL];
};

ct_public int execve(const char *path, char *const argv[], char *const envp[])
{
	struct ct_exec exec;

	ct_exec_begin(&exec, path, true, envp);
	CT_NEXT(execve)(path, argv, exec.env.envp);
	ct_exec_failed(&exec);
	return -1;
}

ct_public int execv(const char *path, char *const argv[])
{
	return execve(path, argv, environ);
}

ct_public int execvpe(const char *file, char *const argv[], char *const envp[])
{
	struct ct_exec exec;

	ct_exec_begin(&exec, file, false, envp);
	CT_NEXT(execvpe)(file, argv, exec.env.envp);
	ct_exec_failed(&exec);
	return -1;
}

ct_public int execvp(const char *file, char *const argv[])
{
	return execvpe(file, argv, environ);
}

ct_public int fexecve(int fd, char *const argv[], char *const envp[])
{
	struct ct_exec exec;

	ct_exec_begin(&exec, NULL, false, envp);
	CT_NEXT(fexecve)(fd, argv, exec.env.envp);
	ct_exec_failed(&exec);
	return -1;
}

ct_public int execveat(int dir, const char *path, char *const argv[], char *const envp[], int flags)
{
	struct ct_exec exec;

	ct_exec_begin(&exec, path, false, envp);
	CT_NEXT(execveat)(dir, path, argv, exec.env.envp, flags);
	ct_exec_failed(&exec);
	return -1;
}

/* Counts the arguments up to and with the NULL. */
static size_t count_args(va_list ap)
{
	size_t nr = 2;

	while (va_arg(ap, char *))
		nr++;
	return nr;
}

static bool make_room(struct args *args, size_t nr)
{
	long at;

	args->argv = args->few;
	args->map_len = 0;
	if (nr <= ARGS_SMALL)
		return true;
	at = ct_sys6(SYS_mmap, 0, (long)ct_page_up(nr * sizeof(char *)), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ct_libc_ret(at) == -1)
		return false;
	args->map_len = ct_page_up(nr * sizeof(char *));
	args->argv = (char **)at;
	return true;
}

/* arg, the rest up to its NULL; ap is left after the NULL (execle has one more). */
static void fill_args(struct args *args, const char *arg, va_list *ap)
{
	size_t i = 0;

	args->argv[i++] = (char *)arg;
	do
		args->argv[i] = va_arg(*ap, char *);
	while (args->argv[i++]);
}

static void free_args(struct args *args)
{
	if (args->map_len)
		ct_sys2(SYS_munmap, args->argv, args->map_len);
}

/* From a variable argument list to a call with argv. */
#define WITH_ARGS(arg, take_env, call)                      \
	({                                                  \
		char *const *envp_ = environ;               \
		struct args args_;                          \
		va_list ap_;                                \
		size_t nr_;                                 \
                                                            \
		va_start(ap_, arg);                         \
		nr_ = (arg) ? count_args(ap_) : 1;          \
		va_end(ap_);                                \
		if (!make_room(&args_, nr_))                \
			return -1;                          \
		va_start(ap_, arg);                         \
		if (arg)                                    \
			fill_args(&args_, arg, &ap_);       \
		else                                        \
			args_.argv[0] = NULL;               \
		if (take_env)                               \
			envp_ = va_arg(ap_, char *const *); \
		va_end(ap_);                                \
		call(args_.argv, envp_);                    \
		free_args(&args_);                          \
		-1;                                         \
	})

ct_public int execl(const char *path, const char *arg, ...)
{
#define CALL(argv, envp) execve(path, argv, envp)
	return WITH_ARGS(arg, false, CALL);
}

ct_public int execle(const char *path, const char *arg, ...)
{
	return WITH_ARGS(arg, true, CALL);
#undef CALL
}

ct_public int execlp(const char *file, const char *arg, ...)
{
#define CALL(argv, envp) execvpe(file, argv, envp)
	return WITH_ARGS(arg, false, CALL);
#undef CALL
}
