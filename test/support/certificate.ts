/** Certificates for `localhost` that are signed by themselves. */
import { execFileSync } from 'node:child_process';

/** Writes a certificate and its key. @param name of its subject */
export function makeCertificate(name: string, certPath: string, keyPath: string): void {
  const out = ['-keyout', keyPath, '-out', certPath];
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const subject = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=DNS:localhost', '-days', '100'];
  execFileSync('openssl', ['req', '-x509', ...curve, ...subject, ...out], { stdio: 'ignore' });
}

/** As {@link makeCertificate}, for clients that trust authorities alone. @param authorityPath where the authority's certificate goes */
export function makeSignedCertificate(authorityPath: string, certPath: string, keyPath: string): void {
  makeCertificate('authority', authorityPath, `${authorityPath}.key`);
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const leaf = ['-addext', 'subjectAltName=DNS:localhost', '-addext', 'basicConstraints=critical,CA:FALSE'];
  const signer = ['-CA', authorityPath, '-CAkey', `${authorityPath}.key`, '-days', '100'];
  const out = ['-keyout', keyPath, '-out', certPath];
  const subject = ['-subj', '/CN=localhost'];
  execFileSync('openssl', ['req', '-x509', ...curve, ...subject, ...leaf, ...signer, ...out], {
    stdio: 'ignore',
  });
}
