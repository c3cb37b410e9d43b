# syntax=docker/dockerfile:1

# The image brings its own Node and expects a Postgres (DATABASE_URL), so the optional dependencies, which are the
# pinned runtime and the embedded database, stay out.
FROM node:24-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
# Locked versions, as `npm ci` would; but that refuses a lock file without the optional packages of other platforms.
# Types, maps and sources of packages are for editors: two thirds of their bytes.
RUN npm install --no-save --omit=dev --omit=optional --no-audit --no-fund && npm cache clean --force \
  && find node_modules -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' -o -name '*.md' \) -delete \
  && rm -rf node_modules/openai/src

FROM node:24-slim
ENV NODE_ENV=production \
    HOST=0.0.0.0 \
    PORT=8787 \
    TOLLGATE_DATA_DIR=/data
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY . .
RUN mkdir /data && chown node:node /data
USER node
VOLUME /data
EXPOSE 8787
# Alive, not ready: a gateway that waits for its database must not be restarted for it.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/healthz`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "bin/tollgate.mjs"]
CMD ["serve"]
