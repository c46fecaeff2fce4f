/* SPDX-License-Identifier: MIT */
/*
 * vfork(): the child runs on the caller's stack and may return from the caller
 * before the parent comes back to it, so nothing may be kept there.  The stub
 * notes the call while there is only one process, and jumps to the next vfork()
 * as if the caller had called that.
 */
	.text
	.globl	vfork
	.type	vfork, %function
	.p2align 4
vfork:
	.cfi_startproc
#if defined(__x86_64__)
	endbr64
	subq	$8, %rsp		/* the ABI's alignment for the calls */
	.cfi_adjust_cfa_offset 8
	call	ct_preload_note_vfork
	call	ct_preload_next_vfork
	addq	$8, %rsp
	.cfi_adjust_cfa_offset -8
	jmp	*%rax
#elif defined(__aarch64__)
	hint	#34			/* bti c, where the assembler knows no newer machine */
	stp	x29, x30, [sp, #-16]!
	.cfi_adjust_cfa_offset 16
	.cfi_rel_offset 29, 0
	.cfi_rel_offset 30, 8
	bl	ct_preload_note_vfork
	bl	ct_preload_next_vfork
	mov	x16, x0
	ldp	x29, x30, [sp], #16
	.cfi_restore 29
	.cfi_restore 30
	.cfi_adjust_cfa_offset -16
	br	x16
#else
#error "vfork() for this machine"
#endif
	.cfi_endproc
	.size	vfork, . - vfork
	.section .note.GNU-stack, "", %progbits
