/* SPDX-License-Identifier: MIT */
/*
 * The constructor's work: look up the next functions, say HELLO, and take the
 * two places that must be ours before anybody else's: the atfork handlers
 * (first registered: prepare runs last, parent and child run first) and the
 * exit handlers (first registered: run last, after every destructor).
 *
 * It runs before libc's own constructor (the library is linked with
 * -z initfirst): no stdio, no malloc, no getenv, no environ here.
 *
 * Invariant: ct_shim is either NULL or points to a struct that is complete.
 */
#include <link.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "base/futex.h"
#include "channel/slot.h"
#include "traced/attach.h"
#include "traced/exithook.h"
#include "traced/forkhook.h"
#include "traced/perf.h"
#include "traced/sighandler.h"
#include "traced/stack.h"

#define LIBRARY_NAME "libcowtrace-preload.so"

extern const ElfW(Ehdr) __ehdr_start ct_hidden;

static const char *env_find(char **envp, const char *name)
{
	size_t len = strlen(name);

	for (; envp && *envp; envp++)
		if (!strncmp(*envp, name, len) && (*envp)[len] == '=')
			return *envp;
	return NULL;
}

/* "LD_PRELOAD=" and that one of its entries which is us; empty where none is. */
static void find_own_preload(struct ct_shim *shim, const char *var)
{
	static const char prefix[] = "LD_PRELOAD=";
	const char *at = var + sizeof(prefix) - 1;
	const size_t name_len = sizeof(LIBRARY_NAME) - 1;

	while (*at) {
		size_t len = strcspn(at, ": ");

		if (len >= name_len && !memcmp(at + len - name_len, LIBRARY_NAME, name_len) &&
		    sizeof(prefix) + len <= sizeof(shim->env_preload)) {
			memcpy(shim->env_preload, prefix, sizeof(prefix) - 1);
			memcpy(shim->env_preload + sizeof(prefix) - 1, at, len);
			return;
		}
		at += len + (at[len] != '\0');
	}
}

/* Our own load range, and of it the writable part (for ct_hello.own). */
static void find_own_memory(struct ct_shim *shim, u64 own[2])
{
	const char *base = (const char *)&__ehdr_start;
	const ElfW(Phdr) *phdr = (const void *)(base + __ehdr_start.e_phoff);
	u32 i;

	shim->text_start = (u64)base;
	for (i = 0; i < __ehdr_start.e_phnum; i++) {
		u64 start = (u64)base + phdr[i].p_vaddr;
		u64 end = start + phdr[i].p_memsz;

		if (phdr[i].p_type != PT_LOAD)
			continue;
		shim->text_end = ct_max(shim->text_end, ct_page_up(end));
		if (phdr[i].p_flags & PF_W) {
			own[0] = ct_page_down(start);
			own[1] = ct_page_up(end);
		}
	}
}

static size_t default_thread_stack(void)
{
	pthread_attr_t attr;
	size_t stack = 0, guard = 0;

	/* Neither allocates; the size is the loader's, from RLIMIT_STACK. */
	if (pthread_attr_init(&attr))
		return 0;
	pthread_attr_getstacksize(&attr, &stack);
	pthread_attr_getguardsize(&attr, &guard);
	pthread_attr_destroy(&attr);
	return stack + guard;
}

/* The slot that the recorder gave us becomes ours. */
static void slot_take(struct ct_segment *seg, u32 idx, s32 pid)
{
	struct ct_slot *slot = &seg->slots[idx];

	slot->how = CT_HOW_HELLO;
	slot->tid = pid;
	slot->sp = (u64)__builtin_frame_address(0);
	slot->tp = ct_thread_pointer();
	slot->born_ns = ct_now_ns();
	ct_slot_bind_pid(seg, idx, pid);
	atomic_store_explicit(&slot->state, CT_SLOT_LIVE, memory_order_release);
}

static void say_hello(struct ct_shim *shim, u32 *ret_slot)
{
	struct ct_hello hello = {
		.magic = CT_HELLO_MAGIC,
		.version = CT_SEG_VERSION,
		.pid = (s32)ct_sys0(SYS_getpid),
	};
	struct ct_segment *seg;
	u32 slot;

	find_own_memory(shim, hello.own[0]);
	hello.own[1][0] = (u64)shim;
	hello.own[1][1] = (u64)shim + ct_page_up(sizeof(*shim));
	if (!shim->env_recorder[0] ||
	    ct_hello_say(strchr(shim->env_recorder, '=') + 1, &hello, shim, &seg, &slot))
		return;
	slot_take(seg, slot, hello.pid);
	shim->seg = seg;
	*ret_slot = slot;
}

static void fill_env(struct ct_shim *shim, char **envp)
{
	const char *var = env_find(envp, CT_ENV_RECORDER);

	if (var && strlen(var) < sizeof(shim->env_recorder))
		memcpy(shim->env_recorder, var, strlen(var) + 1);
	var = env_find(envp, "LD_PRELOAD");
	if (var)
		find_own_preload(shim, var);
}

void ct_attach(char **envp)
{
	struct ct_shim *shim;
	u32 slot = 0;
	long at;

	if (ct_shim)
		return;
	at = ct_sys6(SYS_mmap, 0, (long)ct_page_up(sizeof(*shim)), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (at < 0 && at > -4096)
		return;
	shim = (struct ct_shim *)at;
	shim->quiet_slot = -1;
	ct_next_find_all(shim);
	fill_env(shim, envp);
	shim->thread_stack_len = default_thread_stack();
	say_hello(shim, &slot);
	ct_shim = shim;
	if (!shim->seg)
		return;
	ct_stack_warm();
	if (shim->uffd || shim->seg->engine == CT_ENGINE_PERF)
		ct_sighandler_install(shim, slot);
	if (shim->seg->engine == CT_ENGINE_PERF)
		ct_perf_start(shim, slot);
	ct_exithook_register();
	ct_forkhook_register();
}
