# syntax=docker/dockerfile:1

# The image brings its own Node and expects a Postgres (DATABASE_URL), so the optional dependencies, which are the
# pinned runtime and the embedded database, stay out.
FROM node:24-slim@sha256:a9f5f7c91a432850b2a8a7797adf5eadb6c733ceed61167806cee7ea7fbc29df AS dependencies
WORKDIR /tollgate
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --omit=optional --no-audit --no-fund && npm cache clean --force
# The software bill of materials, from what is installed. `npm sbom --omit dev` would leave out packages that run here
# and are also needed by tools (findings/npm-sbom-omit.sh), so the manifest loses what was not installed instead.
RUN npm pkg delete devDependencies optionalDependencies \
  && npm sbom --sbom-format cyclonedx --sbom-type application > sbom.cdx.json
# Types, maps and sources of packages are for editors: two thirds of their bytes.
RUN find node_modules -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' -o -name '*.md' \) -delete \
  && rm -rf node_modules/openai/src

FROM node:24-slim@sha256:a9f5f7c91a432850b2a8a7797adf5eadb6c733ceed61167806cee7ea7fbc29df
LABEL org.opencontainers.image.title="Tollgate" \
      org.opencontainers.image.licenses="MIT" \
      tollgate.sbom="/app/sbom.cdx.json"
ENV NODE_ENV=production \
    HOST=0.0.0.0 \
    PORT=8787 \
    TOLLGATE_DATA_DIR=/data
WORKDIR /app
COPY --from=dependencies /tollgate/node_modules ./node_modules
COPY --from=dependencies /tollgate/sbom.cdx.json ./
COPY . .
RUN mkdir /data && chown node:node /data
RUN mkdir node_modules/.cache && chown node:node node_modules/.cache
USER node
# What a start would compile. On another kind of CPU it is compiled anew, into the data folder.
RUN node --max-semi-space-size=16 --no-allocation-site-pretenuring --heap-growing-percent=100 bin/fill-cache.mjs
VOLUME /data
EXPOSE 8787
# Alive, not ready: a gateway that waits for its database must not be restarted for it.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
  CMD ["node", "-e", "require(process.env.TOLLGATE_TLS_CERT ? 'https' : 'http').get({ host: '127.0.0.1', port: process.env.PORT, path: '/healthz', rejectUnauthorized: false }, (r) => process.exit(r.statusCode === 200 ? 0 : 1)).on('error', () => process.exit(1))"]
ENTRYPOINT ["node", "bin/tollgate.mjs"]
CMD ["serve"]
