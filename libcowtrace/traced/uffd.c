/* SPDX-License-Identifier: MIT */
/*
 * A userfaultfd belongs to the memory of the process that makes it, so it is
 * made in the program; who issues UFFDIO_API needs privilege, so that is left to
 * the recorder.  USERFAULTFD_IOC_NEW (6.1) on a descriptor that the recorder has
 * opened asks no privilege of the program.
 *
 * Invariant: no descriptor of ours is open when this returns.
 */
#include <errno.h>
#include <fcntl.h>

#include "base/rawsys.h"
#include "channel/hello.h"
#include "traced/pass.h"
#include "traced/uffd.h"

/* <linux/userfaultfd.h> of 6.1 and later: _IO(0xaa, 0) */
#define CT_USERFAULTFD_IOC_NEW 0xaa00

int ct_uffd_offer(int sock, int device, const u64 own[2])
{
	struct ct_uffd_msg said = { .magic = CT_UFFD_MAGIC, .own = { own[0], own[1] } };
	int uffd = -ENODEV;
	int ret;

	if (device >= 0)
		uffd = (int)ct_sys3(SYS_ioctl, device, CT_USERFAULTFD_IOC_NEW,
				    O_CLOEXEC | O_NONBLOCK);
	said.status = uffd < 0 ? uffd : 0;
	ret = ct_pass_send(sock, &said, sizeof(said), uffd);
	if (uffd >= 0)
		ct_sys1(SYS_close, uffd);
	return said.status ? said.status : ret;
}
