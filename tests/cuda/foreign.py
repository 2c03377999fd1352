"""Arrays of made-up frameworks on an emulated device, to see what the bindings ask of them."""

from tests.cuda.emulator.module import emulated_module


class Foreign:
    """A framework that speaks DLPack and does not say which stream it works on, as JAX."""

    def __init__(self, array):
        self.array = array
        self.asked = []  # the streams that consumers said they would read on

    def __dlpack__(self, *, stream=None, max_version=None):
        self.asked.append(stream)
        return self.array.__dlpack__(stream=stream, max_version=max_version)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def from_dlpack(exported):
    """What the bindings find by Foreign's module, to return results with."""
    return Foreign(emulated_module().from_dlpack(exported))
