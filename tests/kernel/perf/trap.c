/* SPDX-License-Identifier: MIT */
/* The handler, and events that raise it. */
#include "trap.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

struct trap_log *traps;
int trap_pagemap = -1;

static uint64_t word_of(const siginfo_t *info, size_t at)
{
	uint64_t v;

	memcpy(&v, (const char *)info + at, sizeof(v));
	return v;
}

static void on_trap(int sig, siginfo_t *info, void *context)
{
	const ucontext_t *uc = context;
	/* After si_addr: unsigned long data, u32 type, u32 flags. */
	uint32_t flags = (uint32_t)(word_of(info, 32) >> 32);

	(void)sig;
	if ((uint64_t)info->si_addr < traps->from || (uint64_t)info->si_addr >= traps->to)
		return;
	if (flags & TRAP_ASYNC) {
		atomic_fetch_add(&traps->nr_async, 1);
		return;
	}
	traps->addr = (uint64_t)info->si_addr;
	traps->data = word_of(info, 24);
	traps->code = info->si_code;
	traps->tid = (int32_t)syscall(SYS_gettid);
#if defined(__x86_64__)
	traps->pc = (uint64_t)uc->uc_mcontext.gregs[REG_RIP];
#else
	traps->pc = uc->uc_mcontext.pc;
#endif
	if (trap_pagemap >= 0) {
		traps->entry = lab_entry(trap_pagemap, info->si_addr);
		traps->byte = *(volatile char *)info->si_addr;
	}
	atomic_fetch_add(&traps->nr, 1);
}

void trap_init(const void *p, size_t nr_pages)
{
	struct sigaction sa = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	stack_t stack = { .ss_size = 256 << 10 };

	traps = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	stack.ss_sp = mmap(NULL, stack.ss_size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (traps == MAP_FAILED || stack.ss_sp == MAP_FAILED)
		lab_die("mmap");
	memset(traps, 0, sizeof(*traps));
	traps->from = (uint64_t)p;
	traps->to = (uint64_t)p + nr_pages * PAGE;
	sigfillset(&sa.sa_mask);
	if (sigaltstack(&stack, NULL) || sigaction(SIGTRAP, &sa, NULL))
		lab_die("sigaction");
}

void trap_reset(void)
{
	memset(traps, 0, offsetof(struct trap_log, from));
}

int trap_event(struct trap_opts o)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_PAGE_FAULTS,
		.sample_period = o.period ? o.period : 1,
		.disabled = o.disabled,
		.inherit = 1,
		.inherit_thread = 1,
		.remove_on_exec = 1,
		.sigtrap = 1,
		.exclude_kernel = !o.kernel_too,
		.exclude_hv = 1,
		.sig_data = TRAP_DATA,
	};
	long fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? -errno : (int)fd;
}

int trap_open(struct trap_opts o)
{
	int fd = trap_event(o);

	if (fd == -EACCES || fd == -EPERM)
		lab_skip("perf events are not permitted here: %s", strerror(-fd));
	if (fd == -EINVAL || fd == -ENOSYS || fd == -E2BIG)
		lab_skip("no page-fault events with sigtrap (Linux 5.13)");
	if (fd < 0)
		lab_die("perf_event_open: %s", strerror(-fd));
	return fd;
}

void trap_enable(int fd)
{
	if (ioctl(fd, PERF_EVENT_IOC_ENABLE, 0))
		lab_die("PERF_EVENT_IOC_ENABLE: %s", strerror(errno));
}

void trap_disable(int fd)
{
	if (ioctl(fd, PERF_EVENT_IOC_DISABLE, 0))
		lab_die("PERF_EVENT_IOC_DISABLE: %s", strerror(errno));
}

uint32_t trap_store(volatile char *p)
{
	uint32_t before = traps->nr;

	*p = 7;
	return traps->nr - before;
}
