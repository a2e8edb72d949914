/**
 * What Berth runs of the client library: how kubeconfig files are read and credentials of every kind are applied. The
 * build bundles this file, for one import of the library loads a thousand models of API objects, 70 MB of them.
 */
export { KubeConfig } from "@kubernetes/client-node";
