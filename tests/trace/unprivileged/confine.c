/* SPDX-License-Identifier: MIT */
/*
 * Runs a command under a seccomp filter that refuses what container engines refuse by
 * default: calls that need a capability which no ordinary container has are answered
 * with EPERM, clone3 with ENOSYS so that libc takes clone instead.
 *
 * usage: confine [-x NAME]... COMMAND [ARG...]
 *   -x memfd_create     this call too: for things that no container refuses
 *
 * It knows nothing of cowtrace.  Invariant: the filter is there before the command
 * is, and no way around it (other architectures end the process).
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#error "no such architecture yet"
#endif

#define MAX_CALLS 64

struct call {
	const char *name;
	unsigned int nr;
	int refused; /* without being asked to */
};

static const struct call calls[] = {
	{ "perf_event_open", SYS_perf_event_open, 1 },
	{ "userfaultfd", SYS_userfaultfd, 1 },
	{ "ptrace", SYS_ptrace, 1 },
	{ "process_vm_readv", SYS_process_vm_readv, 1 },
	{ "process_vm_writev", SYS_process_vm_writev, 1 },
	{ "kcmp", SYS_kcmp, 1 },
	{ "pidfd_getfd", SYS_pidfd_getfd, 1 },
	{ "process_madvise", SYS_process_madvise, 1 },
	{ "bpf", SYS_bpf, 1 },
	{ "mount", SYS_mount, 1 },
	{ "umount2", SYS_umount2, 1 },
	{ "unshare", SYS_unshare, 1 },
	{ "setns", SYS_setns, 1 },
	{ "move_pages", SYS_move_pages, 1 },
	{ "mbind", SYS_mbind, 1 },
	{ "set_mempolicy", SYS_set_mempolicy, 1 },
	{ "keyctl", SYS_keyctl, 1 },
	{ "add_key", SYS_add_key, 1 },
	{ "open_by_handle_at", SYS_open_by_handle_at, 1 },
	{ "swapon", SYS_swapon, 1 },
	{ "acct", SYS_acct, 1 },
	{ "io_uring_setup", SYS_io_uring_setup, 1 },
	{ "memfd_create", SYS_memfd_create, 0 },
	{ "socket", SYS_socket, 0 },
};

#define NR_CALLS (sizeof(calls) / sizeof(calls[0]))

static struct sock_filter filter[2 * MAX_CALLS + 8];
static unsigned short len;

static void put(struct sock_filter f)
{
	filter[len++] = f;
}

static void refuse(unsigned int nr, unsigned int error)
{
	put((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1));
	put((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error));
}

static int named(int nr, char **names, const char *name)
{
	for (int i = 0; i < nr; i++)
		if (!strcmp(names[i], name))
			return 1;
	return 0;
}

int main(int argc, char **argv)
{
	struct sock_fprog prog = { .filter = filter };
	char *more[MAX_CALLS];
	int opt, nr_more = 0;

	while ((opt = getopt(argc, argv, "+x:")) == 'x' && nr_more < MAX_CALLS)
		more[nr_more++] = optarg;
	if (opt != -1 || optind == argc) {
		fprintf(stderr, "usage: confine [-x CALL]... COMMAND [ARG...]\n");
		return 2;
	}
	put((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
					 offsetof(struct seccomp_data, arch)));
	put((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0));
	put((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
	put((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
					 offsetof(struct seccomp_data, nr)));
	for (size_t i = 0; i < NR_CALLS; i++)
		if (calls[i].refused || named(nr_more, more, calls[i].name))
			refuse(calls[i].nr, EPERM);
	refuse(SYS_clone3, ENOSYS);
	put((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
	prog.len = len;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog)) {
		perror("confine: seccomp");
		return 126;
	}
	execvp(argv[optind], argv + optind);
	perror(argv[optind]);
	return 127;
}
