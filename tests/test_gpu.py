"""Which NVIDIA GPUs are there, and which of them a program sees."""

import pytest

from punie.backends.gpu import read_smi, visible

SMI = """\
0, GPU-8f3c, NVIDIA H200, 580.95.05, 143771, 143102, 9.0
1, GPU-91aa, NVIDIA GeForce RTX 4090, 580.95.05, 24564, 1200, 8.9
2, GPU-0c0c, NVIDIA Tegra, 580.95.05, [N/A], [N/A], 8.7
"""
FOUND = read_smi(SMI)


def test_names_sizes_and_the_driver_are_read_and_a_gpu_without_memory_is_left_out() -> None:
    assert [gpu.name for gpu in FOUND] == ["NVIDIA H200", "NVIDIA GeForce RTX 4090"]
    assert FOUND[0].total_bytes == 143771 << 20
    assert (FOUND[1].free_bytes, FOUND[1].driver, FOUND[1].compute) == (
        1200 << 20,
        "580.95.05",
        "8.9",
    )


@pytest.mark.parametrize("text", ["", "No devices were found\n", "NVIDIA-SMI has failed, because"])
def test_what_is_no_list_of_gpus_is_none(text: str) -> None:
    assert read_smi(text) == ()


@pytest.mark.parametrize(
    ("named", "seen"),
    [
        (None, [0, 1]),
        ("1", [1]),
        ("1,0", [1, 0]),
        ("GPU-91", [1]),
        ("", []),
        ("-1", []),
        ("7", []),
        ("0,7,1", [0]),
    ],
)
def test_the_environment_hides_and_orders_them_as_cuda_does(
    named: str | None, seen: list[int]
) -> None:
    env = {} if named is None else {"CUDA_VISIBLE_DEVICES": named}
    assert [gpu.index for gpu in visible(FOUND, env)] == seen
