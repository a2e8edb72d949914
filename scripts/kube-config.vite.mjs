/**
 * Takes out of the Kubernetes client library what Berth runs of it (src/backend/kubernetes/kube-config.ts), with the
 * packages that only the library needs. The rest of the library does nothing when it is loaded, so it may be left out.
 */
import { join } from "node:path";
import { defineConfig } from "vite";
import { root } from "./setup.mjs";

export default defineConfig({
  root,
  logLevel: "warn",
  build: {
    ssr: join(root, "src/backend/kubernetes/kube-config.ts"),
    target: "node20",
    minify: false,
    emptyOutDir: false,
    sourcemap: true,
    rolldownOptions: { treeshake: { moduleSideEffects: false } },
  },
  // Berth has it loaded already.
  ssr: { noExternal: true, external: ["openid-client"] },
});
