"""How much memory is free where a backend computes."""

from punie.backends.cuda_env import AUTO, uses_gpu
from punie.backends.gpu import gpus_now
from punie.serving.free_memory import free_memory


def free_where(backend: str, device: str = AUTO, *, processes: int = 1) -> int:
    """Bytes that one process of the backend can take now: of its GPU, where it uses one.

    Of several processes each has a GPU of its own, and the fullest one counts; without GPUs they
    share the machine's memory. Raises ModelError where a GPU is asked for and none is visible.
    """
    if backend != "cuda" or not uses_gpu(device):
        return free_memory() // processes
    return min((gpu.free_bytes for gpu in gpus_now()[:processes]), default=0)


def computes_on_gpu(backend: str, device: str = AUTO) -> bool:
    """Whether the backend's weights lie in a GPU's own memory. Raises as `free_where`."""
    return backend == "cuda" and uses_gpu(device)
