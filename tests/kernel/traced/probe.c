/* SPDX-License-Identifier: MIT */
/*
 * rt_sigprocmask() with an unknown `how` tells whether eight bytes can be read,
 * and changes nothing: it copies the set in before it looks at `how`.
 */
#include <signal.h>

#include "say.h"

static long probe(const void *p)
{
	return syscall(SYS_rt_sigprocmask, -1, p, NULL, 8) ? errno : 0;
}

int main(void)
{
	char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	sigset_t before, after;

	say("memory", p != MAP_FAILED);
	memset(p, 0xff, 8192);
	sigprocmask(SIG_SETMASK, NULL, &before);
	say("readable memory: EINVAL", probe(p) == EINVAL && probe(p + 4088) == EINVAL);
	say("no access: EFAULT", !mprotect(p + 4096, 4096, PROT_NONE) && probe(p + 4096) == EFAULT);
	say("no memory: EFAULT", !munmap(p + 4096, 4096) && probe(p + 4096) == EFAULT);
	say("low and kernel addresses: EFAULT",
	    probe((void *)8) == EFAULT && probe((void *)~7UL) == EFAULT);
	sigprocmask(SIG_SETMASK, NULL, &after);
	say("the mask is as before", !memcmp(&before, &after, sizeof(before)));
	return 0;
}
