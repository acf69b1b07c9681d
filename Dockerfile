# Two stages: the second contains only what the service needs: compiled code, migrations, run-time packages.
# Not in the image: sources, tests, development packages, the embedded Postgres and the pinned Node for npm scripts.

FROM node:26-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY scripts ./scripts
COPY src ./src
RUN npm run build && rm -r dist/embedded-postgres
# The image has its own Node and no Postgres, so it omits the optional packages.
RUN npm ci --omit=optional --omit=dev --no-audit --no-fund

FROM node:26-slim
ENV NODE_ENV=production \
    MINTMARK_HOST=0.0.0.0
WORKDIR /app
COPY --from=build /build/package.json ./
COPY --from=build /build/scripts/right-node.js ./scripts/
COPY --from=build /build/node_modules ./node_modules
COPY --from=build /build/dist ./dist
COPY db ./db
# A number, so that Kubernetes can verify that it is not root. Nothing is written: run with a read-only root.
USER 1000:1000
EXPOSE 8080 8081 8082 8083 8084
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:8084/readyz').then(r => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "dist/cli/main.js"]
CMD ["serve"]
