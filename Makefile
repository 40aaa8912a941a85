# One word per job, run in an environment with the extra `dev` (README.md, "tests").
.PHONY: style check vendor test matrix bench bench-quick bench-page bench-sizes bench-busy bench-detail ablate fuzz soak gallery guide notebooks demo

style:
	ruff format .
	ruff check --fix .

# mypy sees latent_vizae.adapters only in a built package (pyproject.toml, package-dir): build one, unpack it, check it.
check:
	ruff check .
	ruff format --check .
	python tests/lint_js.py
	rm -rf build/check
	python -m build --no-isolation --outdir build/check . > /dev/null
	python -m zipfile -e build/check/*.whl build/check/site
	MYPYPATH=build/check/site mypy --strict -p latent_vizae

test:
	pytest

# All tests that fit, on other instructions, thread counts and seeds: hours.
matrix:
	python tests/matrix.py

# Us and the peers on the same codes, hours; minutes with few codes. Peers go into an environment of their own.
bench:
	python tests/benchmarks/peers.py

bench-quick:
	python tests/benchmarks/peers.py --quick

# How the page feels; needs Debian's chromium.
bench-page:
	python tests/benchmarks/page.py

# What fit costs as codes grow in number and length.
bench-sizes:
	python tests/benchmarks/sizes.py --large

# Fifty visitors of the page for a minute, while others fit maps and ask a slow decoder; on an idle machine.
soak:
	python tests/soak.py

# Damaged folders, tables and pictures by the thousand, minutes; the tests run a few hundred.
fuzz:
	python tests/fuzz.py --kind v --count 10000
	python tests/fuzz.py --kind zoo --count 10000
	python tests/fuzz_inputs.py --kind tables --count 10000
	python tests/fuzz_inputs.py --kind pictures --count 10000

# The pictures and numbers of demos/gallery.md, minutes; needs MNIST and Fashion-MNIST.
gallery:
	python -m latent_vizae.demos.gallery

# The guide as a site, in build/guide; broken links are errors.
guide:
	NO_MKDOCS_2_WARNING=1 mkdocs build

# The notebooks, run from their first cell to the last, their outputs kept in them; minutes.
notebooks:
	python -m latent_vizae.demos.run_notebooks

demo:
	latent-vizae demo

# What each part of fit is worth, on the same codes and seeds; an hour or two.
ablate:
	python tests/benchmarks/ablations.py

# How much longer work takes beside other programs; on a machine that is idle otherwise.
bench-busy:
	python tests/benchmarks/busy.py

# How typical images of a map are, without detail and with it.
bench-detail:
	python tests/benchmarks/detail.py

# onnxruntime-web for maps with the generator in them, fetched again; needs npm. Its version is named in vendor/LICENSE.
vendor:
	cd "$$(mktemp -d)" && npm pack --silent onnxruntime-web@1.30.0 && tar xzf onnxruntime-web-1.30.0.tgz && \
	cp package/dist/ort.wasm.bundle.min.mjs $(CURDIR)/latent_vizae/sharing/vendor/ && \
	gzip -9 -n -c package/dist/ort-wasm-simd-threaded.wasm > $(CURDIR)/latent_vizae/sharing/vendor/ort-wasm-simd-threaded.wasm.gz
