"""Tables, columns and sparse matrices of other libraries are the codes that they hold; what is no number is named."""

import decimal

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from latent_vizae import fit, place_codes
from latent_vizae.inputs.sources import open_codes

pd = pytest.importorskip("pandas")
pa = pytest.importorskip("pyarrow")
polars = pytest.importorskip("polars")
scipy = pytest.importorskip("scipy")
pytest.importorskip("scipy.sparse")
datasets = pytest.importorskip("datasets")

Z = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
ROWS, LISTS = list(Z), Z.tolist()


def objects(items):
    array = np.empty(len(items), object)
    array[:] = items
    return array


TAKEN = {
    "a Series of arrays": lambda: pd.Series(ROWS, name="embedding"),
    "a Series of lists": lambda: pd.Series(LISTS),
    "a Series of tensors": lambda: pd.Series(list(torch.from_numpy(Z))),
    "a column in a table": lambda: pd.DataFrame({"embedding": ROWS}),
    "nullable floats": lambda: pd.DataFrame(Z).astype("Float64"),
    "floats of pyarrow in pandas": lambda: pd.DataFrame(Z).astype("float[pyarrow]"),
    "lists of pyarrow in pandas": lambda: pd.Series(pa.array(LISTS), dtype=pd.ArrowDtype(pa.list_(pa.float64()))),
    "a table of objects": lambda: pd.DataFrame(Z).astype(object),
    "a sparse table": lambda: pd.DataFrame.sparse.from_spmatrix(scipy.sparse.csr_matrix(Z)),
    "equal names of columns": lambda: pd.DataFrame(Z, columns=list("aabbc")),
    "decimals": lambda: pd.DataFrame(Z).map(lambda value: decimal.Decimal(float(value))),
    "records": lambda: pd.DataFrame(Z).to_records(index=False),
    "a table of polars": lambda: polars.DataFrame(Z),
    "lists of polars": lambda: polars.Series("embedding", LISTS),
    "arrays of polars": lambda: polars.Series(LISTS, dtype=polars.Array(polars.Float32, 5)),
    "a column in a table of polars": lambda: polars.DataFrame({"embedding": LISTS}),
    "a table of pyarrow": lambda: pa.table({str(at): Z[:, at] for at in range(5)}),
    "a batch of pyarrow": lambda: pa.RecordBatch.from_pydict({str(at): Z[:, at] for at in range(5)}),
    "lists of pyarrow": lambda: pa.array(LISTS),
    "lists of one size of pyarrow": lambda: pa.FixedSizeListArray.from_arrays(Z.ravel(), 5)[0:],
    "chunks in a table of pyarrow": lambda: pa.table({"embedding": pa.chunked_array([LISTS[:30], LISTS[30:]])}),
    "tensors of pyarrow": lambda: pa.table({"embedding": pa.FixedShapeTensorArray.from_numpy_ndarray(Z)}),
    "a dataset": lambda: datasets.Dataset.from_dict({"embedding": LISTS}),
    "a selection of a dataset": lambda: datasets.Dataset.from_dict({"e": LISTS[::-1]}).select(range(59, -1, -1)),
    "a column of a dataset": lambda: datasets.Dataset.from_dict({"embedding": LISTS})["embedding"],
    "an array of rows": lambda: objects(ROWS),
    "an array of objects": lambda: Z.astype(object),
    "a list of Series": lambda: [pd.Series(row) for row in ROWS],
    "a stream of tables": lambda: (pd.DataFrame(part) for part in np.split(Z, 3)),
    "a stream of batches of pyarrow": lambda: iter(pa.table({str(n): Z[:, n] for n in range(5)}).to_batches(20)),
    "a coo tensor": lambda: torch.from_numpy(Z).to_sparse(),
}
TAKEN |= {
    f"{form}_{kind}": lambda form=form, kind=kind: getattr(scipy.sparse, f"{form}_{kind}")(Z)
    for form in ("csr", "csc", "coo", "lil", "bsr", "dok") for kind in ("matrix", "array")
}  # fmt: skip


@pytest.mark.parametrize("kind", TAKEN)
def test_numbers_are_taken_whatever_they_lie_in(kind):
    reader = open_codes(TAKEN[kind]())
    assert torch.allclose(reader[:], torch.from_numpy(Z))
    chosen = torch.tensor([59, 0, 31])
    assert torch.allclose(reader.take(chosen), torch.from_numpy(Z)[chosen])


def test_a_table_is_placed_and_rendered_as_an_array_is():
    v = fit(pd.Series(ROWS), steps=20)
    assert torch.equal(v.points, fit(Z, steps=20).points)
    assert torch.equal(v.encode(polars.DataFrame(Z)), v.encode(Z))
    assert torch.equal(v.decode(pd.DataFrame(v.points.numpy())), v.decode(v.points))


@pytest.mark.parametrize(
    ("codes", "error", "message"),
    [
        (pd.DataFrame(Z).assign(name="x", day=pd.Timestamp("2020")), TypeError, "not: 'name' .*, 'day' .datetime64"),
        (polars.DataFrame(Z).with_columns(name=polars.lit("x")), TypeError, "this column is not: 'name' .String"),
        (pa.table({"a": Z[:, 0], "name": ["x"] * 60}), TypeError, "this column is not: 'name' .string"),
        (datasets.Dataset.from_dict({"e": LISTS, "text": ["a"] * 60}), TypeError, "this column is not: 'text'"),
        (pd.DataFrame(Z).assign(kind=pd.Categorical(["a"] * 60)), TypeError, "'kind' .category"),
        (pd.Series(["a", "b"], name="word"), TypeError, "column 'word'"),
        (pd.DataFrame({"e": ROWS, "b": 1.0}), ValueError, r"2 columns, some of arrays: 'e', \(5,\)"),
        (pd.DataFrame({"a": [1.0, None, 3.0], "b": [1.0, 2, 3]}).astype("Float64"), ValueError, "rows 1"),
        (polars.DataFrame({"a": [1, None], "b": [1, 2]}), ValueError, "rows 1"),
        (pd.Series([*ROWS[:-1], None]), ValueError, "row 59 is missing"),
        (pa.array([*LISTS[:-1], None]), ValueError, "row 59 is missing"),
        (pd.Series([*ROWS[:-1], ROWS[0][:3]]), ValueError, r"row 59 has the shape \(3,\), others \(5,\)"),
        ([*ROWS[:-1], ROWS[0][:3]], ValueError, r"row 59 has the shape \(3,\), others \(5,\)"),
        (pd.DataFrame(Z)[:0], ValueError, "at least one code"),
        (polars.DataFrame(Z)[:0], ValueError, "at least one code"),
        (pd.DataFrame(), ValueError, "at least one code"),
        (scipy.sparse.csr_matrix((0, 5)), ValueError, "at least one code"),
        (pd.Series(Z[:, 0]), ValueError, r"got \(60,\)"),
        (pd.DataFrame(Z + 1j), TypeError, "complex64"),
        (scipy.sparse.csr_matrix(Z + 1j), TypeError, "complex"),
    ],
)  # fmt: skip
def test_what_is_no_number_is_named(codes, error, message):
    with pytest.raises(error, match=message):
        open_codes(codes)


def test_a_sparse_matrix_is_dense_a_part_at_a_time(monkeypatch):
    monkeypatch.setattr("latent_vizae.inputs.sources.VALUES_PER_PART", 50)
    matrix = scipy.sparse.random(300, 40, 0.1, random_state=0, dtype=np.float32)
    read = []
    monkeypatch.setattr(
        "latent_vizae.inputs.tables.SparseBlock.__getitem__",
        lambda block, rows: read.append(block.rows[rows].toarray()) or read[-1],
    )
    v = fit(matrix, steps=5)
    assert max(map(len, read)) < 300
    assert torch.equal(v.points, fit(matrix.toarray(), steps=5).points)


@pytest.fixture(params=["npy", "fortran", "big endian", "version 2", "npz", "compressed", "NpzFile", "folder", "list"])
def stored(request, tmp_path):
    for number, part in enumerate(np.split(Z, 3)):
        (tmp_path / "parts").mkdir(exist_ok=True)
        np.save(tmp_path / "parts" / f"{number}.npy", part)
    np.save(tmp_path / "z.npy", Z.astype(">f8") if request.param == "big endian" else Z)
    if request.param == "fortran":
        np.save(tmp_path / "z.npy", np.asfortranarray(Z))
    if request.param == "version 2":
        with (tmp_path / "z.npy").open("wb") as file:
            np.lib.format.write_array(file, Z, version=(2, 0))
    np.savez(tmp_path / "z.npz", codes=Z, labels=np.arange(60))
    np.savez_compressed(tmp_path / "c.npz", Z)
    return {
        "npz": tmp_path / "z.npz", "compressed": tmp_path / "c.npz", "NpzFile": np.load(tmp_path / "z.npz"),
        "folder": tmp_path / "parts", "list": [str(tmp_path / "parts" / f"{n}.npy") for n in range(3)],
    }.get(request.param, tmp_path / "z.npy")  # fmt: skip


def test_files_of_numpy_are_taken(stored, tmp_path):
    assert torch.allclose(open_codes(stored)[:], torch.from_numpy(Z))
    v = fit(stored, steps=20)
    assert torch.equal(v.points, fit(Z, steps=20).points)
    place_codes(v, stored, tmp_path / "points")
    assert torch.allclose(open_codes(tmp_path / "points")[:], v.encode(Z))


def test_files_that_hold_no_codes_are_named(tmp_path):
    np.savez(tmp_path / "two.npz", a=Z, b=Z)
    np.save(tmp_path / "pickle.npy", objects(ROWS), allow_pickle=True)
    np.save(tmp_path / "words.npy", np.array(["a"]))
    np.save(tmp_path / "short.npy", Z)
    (tmp_path / "short.npy").write_bytes((tmp_path / "short.npy").read_bytes()[:-4])
    (tmp_path / "bad.npy").write_bytes(b"nonsense")
    (tmp_path / "bad.npz").write_bytes(b"nonsense")
    (tmp_path / "none.npy").touch()
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    for name, error, message in (
        ("two.npz", ValueError, "no array 'codes'; it holds a, b"), ("pickle.npy", TypeError, "dtype object"),
        ("words.npy", TypeError, "dtype <U1"), ("short.npy", ValueError, "shorter than its header says"),
        ("bad.npy", ValueError, "bad.npy"), ("bad.npz", ValueError, "bad.npz"),
        ("none.npy", ValueError, "none.npy: the file is empty"),
        ("t.parquet", TypeError, "pandas.read_parquet"), ("gone.npy", FileNotFoundError, "gone.npy"),
    ):  # fmt: skip
        with pytest.raises(error, match=message):
            fit(tmp_path / name)


def test_one_array_of_several_may_be_called_points(tmp_path):
    save_file({"points": torch.ones(3, 2), "codes": torch.zeros(3, 5)}, tmp_path / "a.safetensors")
    assert open_codes(tmp_path / "a.safetensors", "points")[:].tolist() == torch.ones(3, 2).tolist()
    assert open_codes(tmp_path / "a.safetensors")[:].tolist() == torch.zeros(3, 5).tolist()
