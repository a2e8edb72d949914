#!/bin/sh
# Installs what the tests need beyond Node and npm, from one list, with apt-get when run as root on Debian.
# usage: test-needs.sh [--check] [TIER...]     no TIER means all of them; --check installs nothing.
# Exit status 1, with a line `TIER lacks PACKAGE` for each, when something is missing in the end.
set -eu

# tier, Debian package, and a command or file that shows it is there. `root` as a package means the user, `cluster` a
# Kubernetes to test with: ../shared/kubernetes starts one, KUBECONFIG or BERTH_TEST_CLUSTER names one.
needs='
unit        openssl                openssl
unit        openssh-client         ssh-keygen
unit        python3-paramiko       /usr/lib/python3/dist-packages/paramiko
unit        putty-tools            plink
unit        dropbear-bin           dbclient
unit        bubblewrap             bwrap
unit        openssh-sftp-server    /usr/lib/openssh/sftp-server
unit        python3                /usr/bin/python3
unit        procps                 ps
e2e         openssh-client         ssh
e2e         openssh-server         /usr/sbin/sshd
e2e         openssh-sftp-server    /usr/lib/openssh/sftp-server
e2e         rsync                  rsync
e2e         python3-paramiko       /usr/lib/python3/dist-packages/paramiko
e2e         putty-tools            plink
e2e         dropbear-bin           dbclient
e2e         bubblewrap             bwrap
e2e         chromium               chromium
e2e         debootstrap            debootstrap
e2e         ssh-audit              ssh-audit
kerberos    root                   -
kerberos    openssh-client         ssh
kerberos    bubblewrap             bwrap
kerberos    python3-paramiko       /usr/lib/python3/dist-packages/paramiko
kerberos    python3-gssapi         /usr/lib/python3/dist-packages/gssapi
kerberos    python3-pyasn1         /usr/lib/python3/dist-packages/pyasn1
kerberos    putty-tools            plink
kerberos    krb5-kdc               krb5kdc
kerberos    krb5-admin-server      kadmin.local
kerberos    krb5-user              kinit
kerberos    faketime               faketime
kerberos    util-linux             chrt
inspect     openssh-client         ssh
inspect     chromium               chromium
docker      root                   -
docker      openssh-client         ssh
docker      docker.io              dockerd
docker      docker-registry        docker-registry
docker      busybox-static         /bin/busybox
docker      iptables               iptables
docker      krb5-kdc               krb5kdc
docker      krb5-admin-server      kadmin.local
docker      krb5-user              kinit
kubernetes  root                   -
kubernetes  cluster                ?
kubernetes  openssh-client         ssh
kubernetes  etcd-server            etcd
kubernetes  containerd             containerd
kubernetes  runc                   runc
kubernetes  containernetworking-plugins  /usr/lib/cni/bridge
kubernetes  iptables               iptables
kubernetes  conntrack              conntrack
kubernetes  kubernetes-client      kubectl
kubernetes  busybox-static         /bin/busybox
kubernetes  openssl                openssl
kubernetes  xz-utils               xz
kubernetes  krb5-kdc               krb5kdc
kubernetes  krb5-admin-server      kadmin.local
kubernetes  krb5-user              kinit
kubernetes  gcc                    gcc
kubernetes  libc6-dev              /usr/include/stdio.h
model       root                   -
model       openssh-client         ssh
model       bubblewrap             bwrap
model       util-linux             unshare
model       iproute2               ss
model       docker.io              dockerd
model       docker-registry        docker-registry
model       busybox-static         /bin/busybox
model       iptables               iptables
model       openssh-server         /usr/sbin/sshd
model       python3-gssapi         /usr/lib/python3/dist-packages/gssapi
model       krb5-kdc               krb5kdc
model       krb5-admin-server      kadmin.local
model       krb5-user              kinit
'

check=false
if [ "${1:-}" = --check ]; then
  check=true
  shift
fi
wanted=${*:-unit e2e kerberos inspect docker kubernetes model}
PATH=$PATH:/usr/sbin:/sbin
shared=$(dirname "$0")/../../shared

has() {
  case $1 in
    /*) [ -e "$1" ] ;;
    -) [ "$(id -u)" = 0 ] ;;
    \?) [ -n "${KUBECONFIG:-}${BERTH_TEST_CLUSTER:-}" ] || [ -x "$shared/kubernetes/up" ] ;;
    *) command -v "$1" >/dev/null ;;
  esac
}

missing() { # lines `TIER PACKAGE`
  echo "$needs" | while read -r tier package proof; do
    case " $wanted " in *" ${tier:--} "*) has "$proof" || echo "$tier $package" ;; esac
  done
}

install() { # PACKAGE...; services that a package brings are not started
  policy=/usr/sbin/policy-rc.d
  if [ ! -e $policy ]; then
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod +x $policy
  fi
  log=$(mktemp)
  export DEBIAN_FRONTEND=noninteractive
  apt="apt-get -y -q -o DPkg::Lock::Timeout=600"
  # shellcheck disable=SC2086 # options are words
  if ! $apt install --no-install-recommends "$@" >"$log" 2>&1; then
    { $apt update && $apt install --no-install-recommends "$@"; } >"$log" 2>&1 || tail -n 20 "$log" >&2
  fi
  rm -f "$log"
}

packages=$(missing | while read -r _ package; do echo "$package"; done | grep -vx -e root -e cluster | sort -u | tr '\n' ' ')
if [ -n "$packages" ] && [ $check = false ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing what the tests need: $packages"
  # shellcheck disable=SC2086 # packages are words
  install $packages
fi

left=$(missing)
[ -z "$left" ] || { echo "$left" | sed 's/ / lacks /'; exit 1; }
