# One file for every image of the project: docker build --target NAME .
# NAME: produce, stream, archive, catalog, load, audit, maintain (the tasks), socket_proxy, dbt, test (every test executable), lint-rust, lint-tools.
# No `# syntax=` line: it would be fetched from a registry, and builds have to work without one.
#
# Secret `ca` (optional): the host's certificate bundle, for registries behind a proxy of one's own. It is never in a layer.

# ---- the Rust workspace without its code -----------------------------------------------------------------------------
# Manifests and an empty root for each crate. COPY --from compares contents, so the stages after this one
# are built again when a dependency changes and not when code does.
FROM rust:1.96-bookworm AS manifests
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY tasks tasks
COPY integration integration
RUN find . -type f ! -name Cargo.toml ! -name Cargo.lock ! -path '*/src/main.rs' ! -path '*/src/lib.rs' -delete \
 && find . -type d -empty -delete \
 && find . -name '*.rs' | while read -r root; do echo 'fn main() {}' > "$root"; done

# ---- every dependency, compiled once for tasks and tests alike -------------------------------------------------------
FROM rust:1.96-bookworm AS deps
# librdkafka's and PostgreSQL's TLS; the official image has it already
RUN apt-get update && apt-get install -y --no-install-recommends libssl-dev pkg-config && rm -rf /var/lib/apt/lists/*
WORKDIR /src
ENV CARGO_TARGET_DIR=/target CARGO_INCREMENTAL=0
# the allocator of archive and produce: two arenas, and what is free goes back after half a second; docs/performance.md has what others take
ENV JEMALLOC_SYS_WITH_MALLOC_CONF=narenas:2,dirty_decay_ms:500,muzzy_decay_ms:0
COPY --from=manifests /src ./
# When a dependency changes, the earlier target directory is taken up again from the cache, so that only what changed
# is compiled. The empty crates are left out of it.
RUN --mount=type=secret,id=ca \
    --mount=type=cache,id=ecomm-cargo-registry,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,id=ecomm-cargo-target,target=/cache,sharing=locked \
    if [ -s /run/secrets/ca ]; then export CARGO_HTTP_CAINFO=/run/secrets/ca; fi \
 && mkdir -p /target && cp -a /cache/. /target/ \
 && cargo build --release --locked --workspace --bins --tests \
 && find /cache -mindepth 1 -delete && cp -a /target/. /cache/

# ---- the tasks -------------------------------------------------------------------------------------------------------
# Without the tests' code, so that a change of that compiles no task anew.
FROM deps AS build
COPY tasks tasks
# An image's files carry the times of the checkout, which may be older than the empty crates built above.
RUN --mount=type=secret,id=ca \
    --mount=type=cache,id=ecomm-cargo-registry,target=/usr/local/cargo/registry,sharing=locked \
    if [ -s /run/secrets/ca ]; then export CARGO_HTTP_CAINFO=/run/secrets/ca; fi \
 && find tasks -name '*.rs' -exec touch {} + \
 && cargo build --release --locked --workspace --bins \
 && mkdir -p /out/bin && find /target/release -maxdepth 1 -type f -perm -u+x -exec cp {} /out/bin/ ';'

# ---- the tests: /out/tests/CRATE.TARGET --------------------------------------------------------------------------------
FROM build AS tests
COPY integration integration
COPY cassandra_setup.cql ./
RUN --mount=type=secret,id=ca \
    --mount=type=cache,id=ecomm-cargo-registry,target=/usr/local/cargo/registry,sharing=locked \
    if [ -s /run/secrets/ca ]; then export CARGO_HTTP_CAINFO=/run/secrets/ca; fi \
 && find integration -name '*.rs' -exec touch {} + \
 && cargo build --release --locked --workspace --bins --tests --message-format=json-render-diagnostics > /tmp/build.json \
 && cp /target/release/bench /target/release/chaos_table /out/bin/ \
 && mkdir -p /out/tests \
 && sed -nE 's|.*"package_id":"[^"]*/([^"/#]+)#[^"]*".*"name":"([^"]*)".*"overflow_checks":[a-z]+,"test":true.*"executable":"([^"]+)".*|\3 /out/tests/\1.\2|p' /tmp/build.json \
    | while read -r executable named; do cp "$executable" "$named"; done
# The executables once more, with points at which tests end them: never in the image of a task. /out/bin is copied already.
# Our own crates unoptimised, which compiles in half the time: none of these tests is about speed.
RUN --mount=type=secret,id=ca \
    --mount=type=cache,id=ecomm-cargo-registry,target=/usr/local/cargo/registry,sharing=locked \
    if [ -s /run/secrets/ca ]; then export CARGO_HTTP_CAINFO=/run/secrets/ca; fi \
 && cargo build --release --locked --workspace --bins --features frame/failpoints \
      $(printf ' --config profile.release.package.%s.opt-level=0' $(ls tasks)) \
 && mkdir -p /out/failpoints && find /target/release -maxdepth 1 -type f -perm -u+x -exec cp {} /out/failpoints/ ';' \
 && rm -f /out/failpoints/bench /out/failpoints/chaos_table

# ---- formatting and lints ----------------------------------------------------------------------------------------------
FROM python:3.11-slim-bookworm AS lint-tools
RUN apt-get update && apt-get install -y --no-install-recommends shellcheck && rm -rf /var/lib/apt/lists/*
COPY requirements-lint.lock /tmp/
RUN --mount=type=secret,id=ca --mount=type=cache,id=ecomm-pip,target=/root/.cache,sharing=locked \
    if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca SSL_CERT_FILE=/run/secrets/ca; fi \
 && python3 -m venv /opt/uv && /opt/uv/bin/pip install --quiet --disable-pip-version-check uv==0.9.30 \
 && python3 -m venv --without-pip /opt/lint \
 && UV_LINK_MODE=copy /opt/uv/bin/uv pip install --quiet --python /opt/lint/bin/python --require-hashes -r /tmp/requirements-lint.lock
ENV PATH=/opt/lint/bin:$PATH
WORKDIR /src

# clippy as the compiler of the workspace's own crates, on the dependencies compiled above:
# `cargo clippy` would check every dependency a second time. Unoptimised: what comes out is not used.
FROM build AS lint-rust
COPY integration integration
COPY cassandra_setup.cql ./
COPY --from=lint-tools /opt/lint/bin/cargo-deny /usr/local/bin/
COPY deny.toml rustfmt.tom[l] clippy.tom[l] ./
RUN --mount=type=secret,id=ca \
    --mount=type=cache,id=ecomm-cargo-registry,target=/usr/local/cargo/registry,sharing=locked \
    if [ -s /run/secrets/ca ]; then export CARGO_HTTP_CAINFO=/run/secrets/ca; fi \
 && if command -v rustup > /dev/null; then rustup component add clippy rustfmt; fi \
 && echo '-- cargo fmt' && cargo fmt --all --check \
 && echo '-- cargo deny' && cargo deny --locked check bans licenses sources \
 && if cargo deny fetch db; then cargo deny --locked check advisories; else echo 'advisories: not checked'; fi \
 && echo '-- clippy' && RUSTC_WORKSPACE_WRAPPER=clippy-driver CLIPPY_ARGS=-Dwarnings__CLIPPY_HACKERY__ \
    cargo build --release --locked --workspace --bins --tests $(printf ' --config profile.release.package.%s.opt-level=0' $(ls tasks))

# ---- what the tasks run on -------------------------------------------------------------------------------------------
FROM debian:bookworm-slim AS runtime
RUN apt-get update && apt-get install -y --no-install-recommends libssl3 tini && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin task
LABEL org.opencontainers.image.vendor="ecomm-log-pipeline" org.opencontainers.image.licenses="MIT"
USER 10001

# ---- the tasks: one executable each, behind an init that hands on SIGTERM ---------------------------------------------
FROM runtime AS produce
LABEL org.opencontainers.image.title="produce" org.opencontainers.image.description="Log generator: seeded, realistic sessions to Kafka"
COPY --from=build /out/bin/produce /usr/local/bin/
ENTRYPOINT ["/usr/bin/tini", "--", "produce"]

FROM runtime AS stream
LABEL org.opencontainers.image.title="stream" org.opencontainers.image.description="Kafka to Cassandra, seconds behind"
COPY --from=build /out/bin/stream /usr/local/bin/
EXPOSE 8080
ENTRYPOINT ["/usr/bin/tini", "--", "stream"]

FROM runtime AS archive
LABEL org.opencontainers.image.title="archive" org.opencontainers.image.description="Kafka to HDFS raw files, exactly once"
COPY --from=build /out/bin/archive /usr/local/bin/
ENTRYPOINT ["/usr/bin/tini", "--", "archive"]

FROM runtime AS catalog
LABEL org.opencontainers.image.title="catalog" org.opencontainers.image.description="users.json and products.json to PostgreSQL, changes kept"
COPY --from=build /out/bin/catalog /usr/local/bin/
COPY data/users.json data/products.json /data/
ENTRYPOINT ["/usr/bin/tini", "--", "catalog"]

FROM runtime AS load
LABEL org.opencontainers.image.title="load" org.opencontainers.image.description="HDFS raw files to PostgreSQL, only new files, exactly once"
COPY --from=build /out/bin/load /usr/local/bin/
ENTRYPOINT ["/usr/bin/tini", "--", "load"]

FROM runtime AS socket_proxy
LABEL org.opencontainers.image.title="socket_proxy" org.opencontainers.image.description="The Docker engine as Airflow may use it: jobs of this stack, and nothing else"
COPY --from=build /out/bin/socket_proxy /usr/local/bin/
# a new volume takes its owner from here
USER root
RUN install -d -o 10001 -g 0 -m 750 /run/socket_proxy
USER 10001
ENTRYPOINT ["/usr/bin/tini", "--", "socket_proxy"]

FROM runtime AS audit
LABEL org.opencontainers.image.title="audit" org.opencontainers.image.description="Compares Kafka, HDFS, PostgreSQL, Cassandra and the star, record by record"
COPY --from=build /out/bin/audit /usr/local/bin/
ENTRYPOINT ["/usr/bin/tini", "--", "audit"]

FROM runtime AS maintain
LABEL org.opencontainers.image.title="maintain" org.opencontainers.image.description="Upkeep: compaction of raw files, retention of verdicts, statistics, dead rows"
COPY --from=build /out/bin/maintain /usr/local/bin/
ENTRYPOINT ["/usr/bin/tini", "--", "maintain"]

# ---- dbt and the project -----------------------------------------------------------------------------------------------
FROM python:3.11-slim-bookworm AS dbt-packages
COPY dbt/requirements.lock /tmp/
RUN --mount=type=secret,id=ca --mount=type=cache,id=ecomm-pip,target=/root/.cache,sharing=locked \
    if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca SSL_CERT_FILE=/run/secrets/ca; fi \
 && python3 -m venv /opt/uv && /opt/uv/bin/pip install --quiet --disable-pip-version-check uv==0.9.30 \
 && python3 -m venv --without-pip /opt/dbt \
 && UV_LINK_MODE=copy /opt/uv/bin/uv pip install --quiet --python /opt/dbt/bin/python --compile-bytecode \
      --require-hashes -r /tmp/requirements.lock

FROM python:3.11-slim-bookworm AS dbt
LABEL org.opencontainers.image.title="dbt" org.opencontainers.image.description="raw to the star schema in PostgreSQL" \
      org.opencontainers.image.vendor="ecomm-log-pipeline" org.opencontainers.image.licenses="MIT"
RUN apt-get update && apt-get install -y --no-install-recommends tini && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin task
COPY --from=dbt-packages /opt/dbt /opt/dbt
ENV PATH=/opt/dbt/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1
COPY dbt /dbt
WORKDIR /dbt
# Parsing takes as long as a small build: done once here, taken up by every run.
RUN python build_star.py --parse-only && rm -rf /tmp/dbt
USER 10001
ENTRYPOINT ["/usr/bin/tini", "--", "python", "/dbt/build_star.py"]

# ---- every test executable, with what the tests of the whole stack call -------------------------------------------------
FROM debian:bookworm-slim AS test
RUN apt-get update \
 && apt-get install -y --no-install-recommends chromium docker.io libssl3 openssl postgresql-client time tini && rm -rf /var/lib/apt/lists/*
# the sources, because tests read their data and examples where they were compiled
COPY tasks /src/tasks
COPY integration /src/integration
COPY postgres_setup.sql cassandra_setup.cql /src/
COPY grafana /src/grafana
COPY prometheus /src/prometheus
COPY powerbi /src/powerbi
COPY data /src/data
COPY --from=tests /out/bin /usr/local/bin
COPY --from=tests /out/tests /tests
COPY --from=tests /out/failpoints /usr/local/lib/failpoints
COPY integration/run_tests.sh /usr/local/bin/run_tests
WORKDIR /src/integration
ENTRYPOINT ["/usr/bin/tini", "--", "run_tests"]
