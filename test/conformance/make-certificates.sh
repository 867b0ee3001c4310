# A small world of certificates in the shape of IBM's (IBM Cloud docs, "Validating the encryption certificate"), and
# everything that can be wrong with it, made by openssl in the current folder:
#
#   root → ca → signer, which is for code signing and no authority → leaf; lists of root, ca and signer
set -eu
cat > openssl.cnf <<'END'
[req]
distinguished_name = name
prompt = no
[name]
CN = not used
[root]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
[ca]
basicConstraints = critical,CA:TRUE,pathlen:0
keyUsage = critical,keyCertSign,cRLSign
[signer]
basicConstraints = CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = codeSigning
[server]
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth
[bare]
basicConstraints = critical,CA:TRUE
keyUsage = critical,digitalSignature
[leaf]
crlDistributionPoints = URI:http://example.org/signer.crl
authorityInfoAccess = caIssuers;URI:http://example.org/signer.crt
[strange]
1.2.3.4 = critical,ASN1:UTF8String:hello
[partial]
issuingDistributionPoint = critical,onlyuser:TRUE
END
key() { openssl genrsa -out "$1.pem" "${2:-2048}" 2>/dev/null; }
# issue NAME SUBJECT ISSUER EXTENSIONS [DIGEST] [DAYS] [KEY]
issue() {
  key_file="${7:-$1}.pem"
  [ -f "$key_file" ] || key "$1"
  openssl req -new -key "$key_file" -subj "$2" -config openssl.cnf -out "$1.csr"
  serial="${SERIAL:-0x$(openssl rand -hex 12)}"
  openssl x509 -req -in "$1.csr" -CA "$3.crt" -CAkey "$3.pem" -set_serial "$serial" -out "$1.crt" \
    -days "${6:-365}" "-${5:-sha256}" -extfile openssl.cnf -extensions "$4" 2>/dev/null
}
# list NAME ISSUER [EXTENSIONS] REVOKED...
list() {
  name=$1 issuer=$2 extensions=$3
  shift 3
  printf '[ca]\ndefault_ca=d\n[d]\ndatabase=%s.txt\ncrlnumber=%s.number\ndefault_crl_days=30\ndefault_md=sha512\n' \
    "$name" "$name" > "$name.cnf"
  sed -n '/^\[partial\]/,$p' openssl.cnf >> "$name.cnf"
  : > "$name.txt"
  echo 01 > "$name.number"
  for revoked in "$@"; do
    openssl ca -config "$name.cnf" -cert "$issuer.crt" -keyfile "$issuer.pem" -revoke "$revoked.crt" \
      -crl_reason superseded 2>/dev/null
  done
  set -- -config "$name.cnf" -cert "$issuer.crt" -keyfile "$issuer.pem" -gencrl -out "$name.crl"
  [ "$extensions" = - ] || set -- "$@" -crlexts "$extensions"
  openssl ca "$@" 2>/dev/null
}

key root
openssl req -x509 -new -key root.pem -subj '/C=US/O=Trusted/CN=Root' -config openssl.cnf -extensions root \
  -days 3650 -sha384 -out root.crt
key stranger
openssl req -x509 -new -key stranger.pem -subj '/C=US/O=Trusted/CN=Root' -config openssl.cnf -extensions root \
  -days 3650 -out stranger.crt
issue ca '/C=US/O=Trusted/CN=Code Signing CA' root ca sha384 3000
issue signer '/C=US/O=International/CN=International' ca signer
issue leaf '/C=US/O=International/CN=Contract Encryption' signer leaf sha512 330
SERIAL=0xf0e1d2c3b4a5968778695a4b issue high-serial '/CN=High serial' signer leaf sha512 330

# One thing wrong each.
issue below-ca '/CN=Authority below' ca root
issue deep-signer '/CN=Deep signer' below-ca signer
issue too-deep '/CN=Too deep' deep-signer leaf
issue server '/CN=Server' ca server
issue by-server '/CN=By server' server leaf
issue no-authority '/CN=No authority' root signer
issue under-no-authority '/CN=Signer under no authority' no-authority signer
issue by-under '/CN=By signer under no authority' under-no-authority leaf
issue bare-ca '/CN=Bare' root bare
issue by-bare '/CN=By bare' bare-ca leaf
issue renamed '/CN=Another name' ca signer sha256 365 signer
cp signer.pem renamed.pem
issue other-name '/CN=Issuer with another name' renamed leaf
cp signer.crt false-signer.true.crt
key false-signer
issue false-signer '/C=US/O=International/CN=International' ca signer sha256 365 false-signer
issue forged '/CN=Forged' false-signer leaf
issue sha1 '/CN=SHA-1' signer leaf sha1
issue strange '/CN=Strange' signer strange
key short 1024
issue short '/CN=Short' signer leaf sha512 330 short
openssl ecparam -genkey -name prime256v1 -noout -out curve.pem
issue curve '/CN=Curve' signer leaf sha512 330 curve

list signer signer -
list ca ca -
list root root -
list signer-revokes signer - leaf high-serial
list ca-revokes ca - signer
list false-signer false-signer -
list partial signer partial

openssl x509 -in leaf.crt -outform DER -out leaf.der
openssl crl -in signer.crl -outform DER -out signer.der.crl
cat signer.crt ca.crt > chain.pem
