from __future__ import annotations

import numpy as np
import pytest

from clip3d_cli.core.grouping import group_equal_rows

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("span", [5, 1 << 20, 1 << 40, 1 << 61])
def test_rows_are_grouped_in_order_however_far_apart(span: int) -> None:
    columns = [RNG.integers(-span, span, 300).repeat(2) for _ in range(3)]
    rows = np.stack(columns, axis=1)
    wanted, first, group = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    found_first, found_group = group_equal_rows(columns)
    np.testing.assert_array_equal(found_first, first)
    np.testing.assert_array_equal(found_group, group.reshape(-1))
    np.testing.assert_array_equal(rows[found_first], wanted)
