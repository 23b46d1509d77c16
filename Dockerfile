# syntax=docker/dockerfile:1
# One image for every role: `immune serve --role R`. Built from the context that .dockerignore leaves, which is what
# cargo needs and nothing else. tests/ops holds the version of Rust and the list of libraries against the project.
#
#   docker build -t immune --build-arg VERSION=0.1.0 --build-arg REVISION="$(git rev-parse HEAD)" .

# The toolchain is that of rust-toolchain.toml, which is not in the context: it asks for components that a build has no
# use for.
ARG RUST_VERSION=1.95.0

FROM rust:${RUST_VERSION}-slim-bookworm AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
ARG TARGETARCH
WORKDIR /src
COPY . .
# Line tables serve developers. Without them and without symbols the binary is a fifth of its size.
ENV CARGO_PROFILE_RELEASE_DEBUG=none \
    CARGO_PROFILE_RELEASE_STRIP=symbols
RUN --mount=type=cache,id=immune-registry,target=/usr/local/cargo/registry \
    --mount=type=cache,id=immune-target-${TARGETARCH},target=/src/target \
    cargo build --locked --release -p immune-server && \
    install -D target/release/immune /image/usr/local/bin/immune
# The libraries that the binary is linked with, and what scanners of images read to know their versions. Everything else
# that glibc brings (locales, converters, name services of 1995) the program has no use for.
RUN for library in libc.so.6 libm.so.6 libgcc_s.so.1; do \
        install -D -m 0644 "$(ldd /image/usr/local/bin/immune | awk -v name="$library" '$1 == name { print $3 }')" \
            "/image/lib/$(uname -m)-linux-gnu/$library"; \
    done && \
    loader="$(ldd /image/usr/local/bin/immune | awk '$1 ~ /ld-linux/ { print $1 }')" && \
    install -D -m 0755 "$loader" "/image$loader" && \
    mkdir -p /image/var/lib/dpkg/status.d && \
    for package in libc6 libgcc-s1; do \
        dpkg-query --status "$package" > "/image/var/lib/dpkg/status.d/$package"; \
    done && \
    ldd /image/usr/local/bin/immune | awk '$1 !~ /^(linux-vdso|libc\.so\.6|libm\.so\.6|libgcc_s\.so\.1|.*ld-linux)/' \
        | { ! grep . ; } && \
    install -d -m 0770 /data/immune

# CA certificates, time zones, a user without rights, /tmp; no shell, no package manager.
FROM gcr.io/distroless/static-debian12:nonroot
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="AI Agent Immune System" \
      org.opencontainers.image.description="Watches AI agents over OpenTelemetry, and contains and heals those that fall ill" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="gcr.io/distroless/static-debian12:nonroot"
COPY --from=build /image/ /
# State of a process that runs all roles over SQLite; mount a volume here. Group 0, so that platforms which choose a user
# id of their own (OpenShift) may write here, too.
COPY --from=build --chown=65532:0 /data/ /var/lib/
WORKDIR /var/lib/immune
USER 65532:65532
# OTLP over gRPC and HTTP, REST and the page, metrics and health, gRPC of the six roles, gateway check.
EXPOSE 4317 4318 8090 9464 50051-50056 9001
ENTRYPOINT ["/usr/local/bin/immune"]
CMD ["serve"]
