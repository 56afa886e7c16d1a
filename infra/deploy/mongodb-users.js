// Run once by MongoDB's image, when it makes the administrator in an empty volume.
const password = require('fs').readFileSync('/run/secrets/mongodb_password', 'utf8').trim()
db.getSiblingDB('admin').createUser({
  user: 'starling',
  pwd: password,
  roles: [
    { role: 'readWrite', db: 'starling' },
    { role: 'dbAdmin', db: 'starling' },
  ],
})
