#!/usr/bin/env python3
"""Runs a program as on a machine without IPv6: without_ipv6.py family|address <program> <arguments>

family: there are no IPv6 sockets at all (a kernel without IPv6, systemd's RestrictAddressFamilies);
address: there are, but no address to bind them to (sysctl disable_ipv6, most containers). A seccomp
filter (seccomp(2)) answers the program's socket(2) or bind(2) with the kernel's own error; it needs
no privileges."""
import ctypes
import os
import platform
import struct
import sys

LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06  # BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K
ALLOW, FAIL = 0x7FFF0000, 0x00050000  # SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO
SYSCALL, ARGUMENTS = 0, 16  # offsets in struct seccomp_data
NUMBERS = {"x86_64": {"socket": 41, "bind": 49}, "aarch64": {"socket": 198, "bind": 200}}[platform.machine()]
AF_INET6, SOCKADDR_IN6_SIZE = 10, 28
EAFNOSUPPORT, EADDRNOTAVAIL = 97, 99
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2

call, argument, value, error = {
    "family": (NUMBERS["socket"], 0, AF_INET6, EAFNOSUPPORT),
    "address": (NUMBERS["bind"], 2, SOCKADDR_IN6_SIZE, EADDRNOTAVAIL),
}[sys.argv[1]]
program = b"".join(struct.pack("HBBI", *instruction) for instruction in [
    (LOAD, 0, 0, SYSCALL),
    (JUMP_IF_EQUAL, 0, 3, call),
    (LOAD, 0, 0, ARGUMENTS + 8 * argument),
    (JUMP_IF_EQUAL, 0, 1, value),
    (RETURN, 0, 0, FAIL | error),
    (RETURN, 0, 0, ALLOW),
])
code = ctypes.create_string_buffer(program, len(program))
filter_ = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code)))
prctl = ctypes.CDLL(None, use_errno=True).prctl
for arguments in [(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, filter_, 0, 0)]:
    if prctl(*arguments) != 0:
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
os.execv(sys.argv[2], sys.argv[2:])
