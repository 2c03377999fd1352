"""Kernels with the tile sizes that are tried for them."""

import torch
import triton

from pyllm.kernels.triton.storage import INTERPRETED


class Tuned:
    """A kernel and its configurations, fastest expected first; `kernel[grid](...)` launches it.

    The first launch with new values of `key` times the configurations, and Triton keeps the result
    on disk. Under the interpreter and under `torch.use_deterministic_algorithms(True)` the first
    configuration is taken untimed: another tile size may sum in another order. Multiplies and adds
    may fuse, which is said here because Triton's own default is about to change.

    Args:
        kernel: a function under `triton.jit`.
        configs: what to try.
        key: names of arguments; another value of one may want another configuration.
        suits: whether a configuration suits these keyword arguments of a launch; default all.
        writes: outputs that may be inputs as well: put back after each timed run.
    """

    def __init__(self, kernel, configs, key, suits=lambda config, arguments: True, writes=()):
        self.kernel, self.configs, self.suits = kernel, configs, suits
        self._tuned = triton.autotune(
            configs,
            key,
            cache_results=True,
            restore_value=list(writes),
            prune_configs_by={"early_config_prune": self._prune},
        )(kernel)

    def first(self, **arguments):
        """The configuration for a launch with these keyword arguments, untimed."""
        return next(c for c in self.configs if self.suits(c, arguments))

    def __getitem__(self, grid):
        if INTERPRETED.value or torch.are_deterministic_algorithms_enabled():
            return self.untimed(grid)
        return lambda *args, **kwargs: self._tuned[grid](*args, **kwargs, enable_fp_fusion=True)

    def untimed(self, grid):
        """Launches the first configuration that suits."""

        def launch(*args, **kwargs):
            fixed = self.first(**kwargs).all_kwargs()
            self.kernel[grid](*args, **kwargs, **fixed, enable_fp_fusion=True)

        return launch

    def _prune(self, configs, named, **kwargs):
        return [c for c in configs if self.suits(c, named | kwargs)]


def warps(*counts):
    """Configurations that differ in the number of warps alone."""
    return [triton.Config({}, num_warps=n, num_stages=1) for n in counts]
