"""Counts without Arm hardware: q4engine under qemu with a plugin that counts instructions and simulates caches."""
