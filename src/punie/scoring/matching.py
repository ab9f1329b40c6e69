"""Pairing expected things with found ones, by index."""

from collections.abc import Sequence


def assign(right: Sequence[Sequence[bool]]) -> dict[int, int]:
    """The largest pairing of rows with columns where `right` holds, regardless of order.

    Accepted-value sets overlap, so taking the first that fits can leave another without a partner:
    augmenting paths (Kuhn's algorithm for bipartite matching) find the largest.
    """
    row_of: dict[int, int] = {}

    def place(row: int, tried: set[int]) -> bool:
        for column, fits in enumerate(right[row]):
            if fits and column not in tried:
                tried.add(column)
                if column not in row_of or place(row_of[column], tried):
                    row_of[column] = row
                    return True
        return False

    for row in range(len(right)):
        place(row, set())
    return {row: column for column, row in row_of.items()}


def assign_in_order(right: Sequence[Sequence[bool]]) -> dict[int, int]:
    """The largest pairing in which both sides keep their order (longest common subsequence)."""
    rows, columns = len(right), len(right[0]) if right else 0
    best = [[0] * (columns + 1) for _ in range(rows + 1)]
    for row in reversed(range(rows)):
        for column in reversed(range(columns)):
            skip = max(best[row + 1][column], best[row][column + 1])
            taken = best[row + 1][column + 1] + 1 if right[row][column] else 0
            best[row][column] = max(skip, taken)
    pairs: dict[int, int] = {}
    row = column = 0
    while row < rows and column < columns:
        if right[row][column] and best[row][column] == best[row + 1][column + 1] + 1:
            pairs[row] = column
            row, column = row + 1, column + 1
        elif best[row][column] == best[row + 1][column]:
            row += 1
        else:
            column += 1
    return pairs


def nearest(
    distances: Sequence[Sequence[int]], rows: Sequence[int], columns: Sequence[int]
) -> dict[int, int]:
    """The given rows and columns paired greedily, the nearest first."""
    pairs: dict[int, int] = {}
    used: set[int] = set()
    for _, row, column in sorted(
        (distances[row][column], row, column) for row in rows for column in columns
    ):
        if row not in pairs and column not in used:
            pairs[row] = column
            used.add(column)
    return pairs
