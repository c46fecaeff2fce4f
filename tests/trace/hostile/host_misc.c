/* SPDX-License-Identifier: MIT */
/*
 * Programs that close, unmap, forbid and race.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>

#include "host.h"

static void fork_once(int code)
{
	pid_t pid = fork();

	check(pid >= 0);
	if (!pid) {
		touch_memory(1);
		_exit(code);
	}
	check(WEXITSTATUS(wait_for(pid)) == code);
}

static void run_closefds(void)
{
	int fd, i;

	for (fd = 3; fd < 1024; fd++)
		check(close(fd) == -1 && errno == EBADF); /* nothing of ours is open */
	close(0);
	close(1);
	for (i = 0; i < 20; i++) {
		fork_once(i);
		touch_memory(1);
		check(open("/dev/null", O_RDONLY) == 0); /* the lowest is still free */
		close(0);
	}
}

static void *small_thread(void *arg)
{
	int i;

	for (i = 0; i < 10; i++) {
		touch_memory(1);
		fork_once(21);
	}
	return arg;
}

static void run_tinystack(void)
{
	pthread_attr_t attr;
	pthread_t thread;
	int i;

	pthread_attr_init(&attr);
	check(!pthread_attr_setstacksize(&attr, (size_t)PTHREAD_STACK_MIN));
	for (i = 0; i < 5; i++) {
		check(!pthread_create(&thread, &attr, small_thread, NULL));
		check(!pthread_join(thread, NULL));
	}
}

static void *own_stack;
static int printed[2], go_on[2];

/* Prints the mapping that this thread's stack lies in, with the guard below it. */
static void *print_stack(void *arg)
{
	unsigned long here = (unsigned long)&arg, start, end, guard = 0, guard_end = 0;
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512], perms[8];

	check(maps);
	while (fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx %4s", &start, &end, perms) != 3)
			continue;
		if (!strncmp(perms, "---", 3))
			guard = start, guard_end = end;
		if (here >= start && here < end)
			break;
	}
	fclose(maps);
	if (own_stack)
		start = (unsigned long)own_stack, end = start + 131072;
	else if (guard_end == start)
		start = guard;
	printf("%#lx %#lx\n", start, end - start);
	check(write(printed[1], "x", 1) == 1);
	check(read(go_on[0], line, 1) == 0);
	return NULL;
}

static void run_stacks(void)
{
	static const size_t sizes[] = { 0, 65536, 1 << 20, 300 << 10 };
	pthread_t thread[5];
	pthread_attr_t attr;
	size_t i;
	char c;

	/* One at a time prints, all of them stay: libc takes no stack twice. */
	check(!pipe(printed) && !pipe(go_on));
	for (i = 0; i < 5; i++) {
		pthread_attr_init(&attr);
		if (i == 4) {
			own_stack = mmap(NULL, 131072, PROT_READ | PROT_WRITE,
					 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			check(!pthread_attr_setstack(&attr, own_stack, 131072));
		} else if (sizes[i]) {
			check(!pthread_attr_setstacksize(&attr, sizes[i]));
		}
		if (i == 3)
			check(!pthread_attr_setguardsize(&attr, 32768));
		check(!pthread_create(&thread[i], i ? &attr : NULL, print_stack, NULL));
		check(read(printed[0], &c, 1) == 1);
	}
	close(go_on[1]);
	for (i = 0; i < 5; i++)
		check(!pthread_join(thread[i], NULL));
}

/* What a program may do that has computed all it will: no getpid, no futex. */
static const struct sock_filter narrow[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 6, 0),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_munmap, 5, 0),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 4, 0),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 3, 0),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 2, 0),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 1, 0),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

static void run_seccomp(void)
{
	struct sock_fprog prog = { sizeof(narrow) / sizeof(narrow[0]),
				   (struct sock_filter *)narrow };
	int how;

	for (how = 0; how < 3; how++) {
		pid_t pid = fork();

		check(pid >= 0);
		if (!pid) {
			if (how == 2) {
				/* Asks whether it could: nothing must change. */
				check(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL) == -1);
				fork_once(2);
			}
			check(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
			if (how == 1)
				check(!syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog));
			else
				check(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog));
			touch_memory(3);
			exit(30 + how); /* through the exit handlers */
		}
		check(wait_for(pid) == (30 + how) << 8);
	}
}

/* What a sandbox does to a program that it starts: no sockets, on pain of death. */
static const struct sock_filter no_sockets[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

static void run_sandbox(void)
{
	struct sock_fprog prog = { sizeof(no_sockets) / sizeof(no_sockets[0]),
				   (struct sock_filter *)no_sockets };
	int how;

	for (how = 0; how < 3; how++) {
		pid_t pid = fork();

		check(pid >= 0);
		if (!pid) {
			check(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
			if (how == 1)
				check(!syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog));
			else if (how == 2)
				check(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog));
			execl("/bin/sh", "sh", "-c", "(exit 3); exit 4", NULL);
			_exit(5);
		}
		check(wait_for(pid) == 4 << 8);
	}
}

/* Like a checkpointer: whatever is mapped shared and writable goes. */
static void take_away(const char *how)
{
	char line[512];
	struct {
		unsigned long start, end;
	} found[64];
	FILE *maps = fopen("/proc/self/maps", "r");
	int nr = 0, i;

	check(maps);
	while (fgets(line, sizeof(line), maps) && nr < 64) {
		char perms[8];

		if (sscanf(line, "%lx-%lx %4s", &found[nr].start, &found[nr].end, perms) == 3 &&
		    !strcmp(perms, "rw-s"))
			nr++;
	}
	fclose(maps);
	for (i = 0; i < nr; i++) {
		void *p = (void *)found[i].start;
		size_t len = found[i].end - found[i].start;

		if (!strcmp(how, "unmap"))
			check(!munmap(p, len));
		else if (!strcmp(how, "protect"))
			check(!mprotect(p, len, PROT_NONE));
		else if (!strcmp(how, "fixed"))
			check(mmap(p, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
				   0) == p);
		else
			check(!madvise(p, len, MADV_DONTFORK));
	}
}

static void run_unmap(void)
{
	static const char *const ways[] = { "unmap", "protect", "fixed", "dontfork" };
	size_t i;

	for (i = 0; i < 4; i++) {
		pid_t pid = fork();

		check(pid >= 0);
		if (!pid) {
			take_away(ways[i]);
			touch_memory(2);
			fork_once(40);
			exit(41);
		}
		check(wait_for(pid) == 41 << 8);
	}
	fork_once(42); /* the others of the recording have lost nothing */
}

static volatile int stop;

static void *load_libraries(void *arg)
{
	while (!stop) {
		void *lib = dlopen("libresolv.so.2", RTLD_NOW);

		check(lib);
		check(dlsym(lib, "ns_name_ntop"));
		dlclose(lib);
	}
	return NULL;
}

static void *allocate(void *arg)
{
	while (!stop) {
		void *p[40];
		int i;

		for (i = 0; i < 40; i++) {
			p[i] = malloc((size_t)(1 << 20) * (size_t)(1 + i % 7));
			check(p[i]);
			memset(p[i], i, 8192);
		}
		for (i = 0; i < 40; i++)
			free(p[i]);
		touch_memory(1);
	}
	return NULL;
}

static void run_dlopen(void)
{
	pthread_t thread[3];
	int i;

	check(!pthread_create(&thread[0], NULL, load_libraries, NULL));
	check(!pthread_create(&thread[1], NULL, allocate, NULL));
	check(!pthread_create(&thread[2], NULL, allocate, NULL));
	for (i = 0; i < 60; i++) {
		fork_once(i);
		usleep(2000);
	}
	stop = 1;
	for (i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
}

static void at_end(void)
{
	touch_memory(1);
}

/* exit() in one thread while another calls _exit(): one reading, nobody hangs. */
static void *exit_too(void *arg)
{
	_exit(50);
}

static void run_exits(void)
{
	int i;

	for (i = 0; i < 30; i++) {
		pid_t pid = fork();

		check(pid >= 0);
		if (!pid) {
			pthread_t thread;

			atexit(at_end);
			at_quick_exit(at_end);
			switch (i % 5) {
			case 0:
				exit(50);
			case 1:
				quick_exit(50);
			case 2:
				_Exit(50);
			case 3:
				pthread_create(&thread, NULL, exit_too, NULL);
				exit(50);
			case 4:
				if (!vfork())
					_exit(51);
				_exit(50);
			}
		}
		check(wait_for(pid) == 50 << 8);
	}
}

/* Jumps out of a handler, from wherever the program was, a thousand times. */
#include <setjmp.h>
#include <sys/time.h>

static sigjmp_buf back;

static void jump(int sig)
{
	siglongjmp(back, 1);
}

static void run_longjmp(void)
{
	struct itimerval timer = { { 0, 300 }, { 0, 300 } }, off = { { 0, 0 }, { 0, 0 } };
	volatile int jumps = 0;
	char *volatile p = NULL;

	signal(SIGALRM, jump);
	if (sigsetjmp(back, 1))
		jumps++;
	if (jumps < 300) {
		setitimer(ITIMER_REAL, &timer, NULL);
		for (;;) {
			p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			madvise(p, 4096, MADV_DONTNEED);
			munmap(p, 4096);
		}
	}
	setitimer(ITIMER_REAL, &off, NULL);
	for (jumps = 0; jumps < 20; jumps++)
		fork_once(jumps);
}

/* Code that no table describes: what a JIT makes. */
static void run_nocfi(void)
{
#if defined(__x86_64__)
	/* push rbp; mov rbp, rsp; call rdi; pop rbp; ret */
	static const unsigned char text[] = { 0x55, 0x48, 0x89, 0xe5, 0xff, 0xd7, 0x5d, 0xc3 };
	/* xor ebp, ebp; sub rsp, 8; call rdi; add rsp, 8; ret: no frame to follow */
	static const unsigned char bare[] = { 0x55, 0x31, 0xed, 0xff, 0xd7, 0x5d, 0xc3 };
	unsigned char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void (*call)(void (*)(void)) = (void (*)(void (*)(void)))(void *)page;
	int i;

	check(page != MAP_FAILED);
	for (i = 0; i < 2; i++) {
		memcpy(page, i ? bare : text, i ? sizeof(bare) : sizeof(text));
		call(at_end);
		/* Exec-only: the unwinder must not need to read it, nor die of it. */
		check(!mprotect(page, 4096, PROT_EXEC));
		call(at_end);
		check(!mprotect(page, 4096, PROT_READ | PROT_WRITE | PROT_EXEC));
	}
#endif
}

static int recurse(int depth)
{
	volatile int here = depth;

	if (!depth) {
		touch_memory(1);
		fork_once(60);
		return 0;
	}
	return recurse(depth - 1) + here - here;
}

static void run_deep(void)
{
	check(recurse(20000) == 0);
}

static void work_in_handler(int sig)
{
	touch_memory(1);
}

/* All of it on the smallest alternate stack that the kernel accepts, and a bit. */
static void run_altstack(void)
{
	const size_t len = (size_t)sysconf(_SC_MINSIGSTKSZ) + 6144;
	char *mem =
		mmap(NULL, len + 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	stack_t stack = { .ss_sp = mem + 4096, .ss_size = len };
	struct sigaction sa = { .sa_handler = work_in_handler, .sa_flags = SA_ONSTACK };
	size_t used;

	check(mem != MAP_FAILED);
	memset(mem, 0x5a, len + 8192);
	check(!mprotect(mem, 4096, PROT_NONE));
	check(!sigaltstack(&stack, NULL) && !sigaction(SIGUSR1, &sa, NULL));
	raise(SIGUSR1);
	for (used = len; used && mem[4096 + len - used] == 0x5a; used--)
		;
	check(used < len); /* with room to spare */
}

int main(int argc, char **argv)
{
	static const struct host_case cases[] = {
		{ "closefds", run_closefds },
		{ "tinystack", run_tinystack },
		{ "stacks", run_stacks },
		{ "seccomp", run_seccomp },
		{ "sandbox", run_sandbox },
		{ "unmap", run_unmap },
		{ "dlopen", run_dlopen },
		{ "exits", run_exits },
		{ "longjmp", run_longjmp },
		{ "nocfi", run_nocfi },
		{ "deep", run_deep },
		{ "altstack", run_altstack },
		{ NULL, NULL },
	};

	return host_main(cases, argc, argv);
}
