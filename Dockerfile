# The images that this one is made from are build arguments: a release gives them by digest, and a machine without a
# registry gives its own.
ARG BUILD_IMAGE=docker.io/library/node:26.10.0-trixie-slim
# Distroless has no tags for exact versions.
ARG RUNTIME_IMAGE=gcr.io/distroless/nodejs26-debian13:nonroot
ARG CLI_VERSION=1.13.0
ARG CLI_IMAGE=ghcr.io/databricks/cli:${CLI_VERSION}

FROM ${RUNTIME_IMAGE} AS runtime

# What it makes is the same for every platform.
FROM --platform=${BUILDPLATFORM} ${BUILD_IMAGE} AS build
WORKDIR /src
COPY package.json package-lock.json ./
# A registry other than the usual one comes as a secret, which no layer keeps.
# Nothing of what is installed runs then.
RUN --mount=type=secret,id=npmrc,target=/root/.npmrc npm ci --ignore-scripts --no-audit --no-fund
COPY . .
RUN node scripts/build.ts && node scripts/sbom.ts

# Bytecode is good for one Node.js on one platform only: it is recorded with the very Node.js that will read it.
FROM ${BUILD_IMAGE} AS bytecode
WORKDIR /src
COPY --from=runtime /nodejs /nodejs
COPY package.json ./
COPY scripts scripts
COPY src src
COPY --from=build /src/dist dist
RUN /nodejs/bin/node -e "import('./scripts/bytecode.ts').then(({ recordBytecode }) => recordBytecode('dist'))" \
 && find dist '(' -name '*.map' -o -name meta.json ')' -delete

FROM ${CLI_IMAGE} AS official-cli

# For who brings a Databricks CLI: on the PATH, or where minter.cli.command says.
FROM runtime AS without-cli
COPY --chmod=0644 LICENSE /app/
COPY --from=bytecode /src/dist /app/
# Distroless' user nonroot, by number: of a name the kubelet cannot know that it is not root.
USER 65532:65532
WORKDIR /
# glibc otherwise keeps memory apart for each thread of Node.js, of which nearly all wait: half a MB.
ENV MALLOC_ARENA_MAX=1
EXPOSE 9467
STOPSIGNAL SIGTERM
# V8 otherwise collects half a MB of young objects with several threads, and a start waits 2 ms longer for that.
ENTRYPOINT ["/nodejs/bin/node", "--no-parallel-scavenge", "/app/main.js"]
CMD ["run"]
ARG VERSION
ARG REVISION
ARG SOURCE
ARG RUNTIME_IMAGE
LABEL org.opencontainers.image.title="lakebase-credential-sidecar" \
      org.opencontainers.image.description="Keeps a short-lived Lakebase (Databricks Postgres) credential fresh beside an application." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.base.name="${RUNTIME_IMAGE}" \
      org.opencontainers.image.licenses="Apache-2.0"

FROM without-cli
ARG CLI_VERSION
ARG CLI_IMAGE
# Who passes the CLI on passes on both. The official image has neither; they stand in its source, at the same version.
ARG CLI_NOTICES=https://raw.githubusercontent.com/databricks/cli/v${CLI_VERSION}
ADD --chmod=0644 ${CLI_NOTICES}/LICENSE ${CLI_NOTICES}/NOTICE /usr/share/doc/databricks-cli/
COPY --from=official-cli /app/databricks /usr/local/bin/databricks
LABEL lakebase-credential-sidecar.cli.image="${CLI_IMAGE}" \
      lakebase-credential-sidecar.cli.version="${CLI_VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0 AND LicenseRef-Databricks"
